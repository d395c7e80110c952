"""The order-by-order book: price-time queues with O(1) changes, over the L2 book of their totals."""

from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from apex._core.book cimport (
    Book, BookData, _side_put, book_apply, book_clear, book_clear_to, book_end_message, book_quantity, book_set,
)
from apex._core.events cimport (
    AT_LOCAL, BOOK_CLEAR, BOOK_LEVEL, BUY, CLEAR_TO, KEEPS_BOOK, LAST_IN_BATCH, LEVELS, LINK_DOWN, LINK_GAP, ORDER_ADD,
    ORDER_DELETE, ORDER_EXECUTE, ORDER_MODIFY, ROWS, SELL, SNAPSHOT_BEGIN, TRADE, Batch, Event, Level,
)

import numpy as np

from apex._core.events import BATCH_DTYPE, EVENT_DTYPE, LEVEL_DTYPE

cdef int64_t TICKS_MAX = (<int64_t> 1 << 60) - 1


cdef extern from "<stdlib.h>" nogil:
    void* aligned_alloc(size_t alignment, size_t size)


# ---- life ------------------------------------------------------------------------------------------------------------

cdef L3Data* l3_new(BookData* book, bint compat) noexcept nogil:
    """An empty book; `book` is emptied and then holds its totals. NULL without memory."""
    cdef L3Data* l3 = <L3Data*> calloc(1, sizeof(L3Data))
    if l3 == NULL:
        return NULL
    l3.book, l3.compat = book, compat
    l3.order_free = l3.level_free = NO_ORDER
    if not _grow_orders(l3) or not _grow_levels(l3):
        l3_free(l3)
        return NULL
    book_clear(book, 0)
    return l3


cdef void l3_free(L3Data* l3) noexcept nogil:
    if l3 == NULL:
        return
    free(l3.orders)
    free(l3.order_slots)
    free(l3.levels)
    free(l3.level_slots)
    free(l3)


# ---- hashes: linear probing over places, multiplicative, backward-shift deletion -------------------------------------

cdef inline int64_t _order_slot(const L3Data* l3, uint64_t id) noexcept nogil:
    """Slot of an id, or the empty one where it belongs. Ends: three quarters of the slots are empty."""
    cdef int64_t i = l3_home(l3, id)
    while l3.order_slots[i] != 0 and l3.orders[l3.order_slots[i] - 1].id != id:
        i = i + 1 & l3.order_mask
    return i


cdef inline void _order_erase(L3Data* l3, int64_t i) noexcept nogil:
    """Empty a slot; later entries of its run move back, so that no search meets a gap."""
    cdef int64_t j = i
    while True:
        j = j + 1 & l3.order_mask
        if l3.order_slots[j] == 0:
            break
        if (j - l3_home(l3, l3.orders[l3.order_slots[j] - 1].id) & l3.order_mask) >= (j - i & l3.order_mask):
            l3.order_slots[i] = l3.order_slots[j]
            i = j
    l3.order_slots[i] = 0


cdef inline int64_t _level_home(const L3Data* l3, int side, int64_t ticks) noexcept nogil:
    return <int64_t> (<uint64_t> (2 * ticks + side) * <uint64_t> 0x9E3779B97F4A7C15 >> 32) & l3.level_mask


cdef inline int64_t _level_slot(const L3Data* l3, int side, int64_t ticks) noexcept nogil:
    cdef int64_t i = _level_home(l3, side, ticks)
    cdef const L3Level* level
    while l3.level_slots[i] != 0:
        level = &l3.levels[l3.level_slots[i] - 1]
        if level.ticks == ticks and level.side == side:
            break
        i = i + 1 & l3.level_mask
    return i


cdef void _level_erase(L3Data* l3, int64_t i) noexcept nogil:
    cdef int64_t j = i
    cdef const L3Level* level
    while True:
        j = j + 1 & l3.level_mask
        if l3.level_slots[j] == 0:
            break
        level = &l3.levels[l3.level_slots[j] - 1]
        if (j - _level_home(l3, level.side, level.ticks) & l3.level_mask) >= (j - i & l3.level_mask):
            l3.level_slots[i] = l3.level_slots[j]
            i = j
    l3.level_slots[i] = 0


cdef bint _grow_orders(L3Data* l3) noexcept nogil:
    """More places for orders, of which all are taken, and a hash for them; False without memory."""
    cdef int32_t before = l3.order_capacity, i
    cdef int64_t count = 4 * <int64_t> before if before else L3_PLACES_FIRST
    cdef L3Order* orders
    cdef int32_t* slots
    if count > L3_ORDERS_MAX:
        return False
    orders = <L3Order*> aligned_alloc(64, count * sizeof(L3Order))
    slots = <int32_t*> calloc(4 * count, sizeof(int32_t))
    if orders == NULL or slots == NULL:
        free(orders)
        free(slots)
        return False
    if before:
        memcpy(orders, l3.orders, before * sizeof(L3Order))
    free(l3.orders)
    free(l3.order_slots)
    l3.orders, l3.order_slots, l3.order_mask, l3.order_capacity = orders, slots, 4 * count - 1, <int32_t> count
    for i in range(before):
        slots[_order_slot(l3, orders[i].id)] = i + 1
    return True


cdef bint _grow_levels(L3Data* l3) noexcept nogil:
    """The same for levels."""
    cdef int32_t before = l3.level_capacity, i
    cdef int64_t count = 4 * <int64_t> before if before else L3_PLACES_FIRST
    cdef L3Level* levels = <L3Level*> aligned_alloc(64, count * sizeof(L3Level))
    cdef int32_t* slots = <int32_t*> calloc(4 * count, sizeof(int32_t))
    if levels == NULL or slots == NULL:
        free(levels)
        free(slots)
        return False
    if before:
        memcpy(levels, l3.levels, before * sizeof(L3Level))
    free(l3.levels)
    free(l3.level_slots)
    l3.levels, l3.level_slots, l3.level_mask, l3.level_capacity = levels, slots, 4 * count - 1, <int32_t> count
    for i in range(before):
        slots[_level_slot(l3, levels[i].side, levels[i].ticks)] = i + 1
    return True


cdef int32_t l3_find(const L3Data* l3, uint64_t id) noexcept nogil:
    """Place of an order by the venue's id, or NO_ORDER."""
    return l3.order_slots[_order_slot(l3, id)] - 1 if id != 0 else NO_ORDER


cdef int32_t l3_level(const L3Data* l3, int side, int64_t ticks) noexcept nogil:
    """Place of a level, or NO_ORDER."""
    return l3.level_slots[_level_slot(l3, side, ticks)] - 1


# ---- queues ----------------------------------------------------------------------------------------------------------

cdef inline void _total(L3Data* l3, const L3Level* level, bint entered) noexcept nogil:
    """Write a level's total into the L2 book. compat: only an order that enters makes a level the best again."""
    if not l3.compat:
        book_set(l3.book, level.side, level.ticks, level.lots, False)
    elif entered or level.lots == 0:
        book_set(l3.book, level.side, level.ticks, level.lots, True)
    else:
        _side_put(&l3.book.bid if level.side == BUY else &l3.book.ask, level.side, level.ticks, level.lots)


cdef inline bint _room(L3Data* l3) noexcept nogil:
    """Whether an order can enter: a free place for it and for a new level. False without memory: it is lost."""
    if (l3.order_free == NO_ORDER and l3.order_used == l3.order_capacity and not _grow_orders(l3)) or (
            l3.level_free == NO_ORDER and l3.level_used == l3.level_capacity and not _grow_levels(l3)):
        l3.failed = True
        return False
    return True


cdef void _enter(L3Data* l3, int32_t place, int side, int64_t ticks, int64_t lots) noexcept nogil:
    """Put an order at the back of its level's queue; a level that is not there is made of the free place."""
    cdef L3Order* order = &l3.orders[place]
    cdef L3Level* level
    cdef int64_t slot = _level_slot(l3, side, ticks)
    cdef int32_t at = l3.level_slots[slot] - 1
    if at == NO_ORDER:
        at = l3.level_free
        if at != NO_ORDER:
            l3.level_free = l3.levels[at].back
        else:
            at = l3.level_used
            l3.level_used += 1
        l3.level_slots[slot] = at + 1
        level = &l3.levels[at]
        l3.level_count += 1
        level.ticks, level.side, level.lots, level.count = ticks, <uint8_t> side, 0, 0
        level.front = level.back = NO_ORDER
    level = &l3.levels[at]
    if lots > INT64_MAX - level.lots:
        l3.failed = True
        lots = INT64_MAX - level.lots
    l3.entered += 1
    order.entered, order.executed = l3.entered, 0
    order.side, order.ticks, order.lots, order.level = <uint8_t> side, ticks, lots, at
    order.ahead, order.behind = level.back, NO_ORDER
    if level.back == NO_ORDER:
        level.front = place
    else:
        l3.orders[level.back].behind = place
    level.back = place
    level.count += 1
    level.lots += lots
    _total(l3, level, True)


cdef void _leave(L3Data* l3, int32_t place) noexcept nogil:
    """Take an order out of its queue; an empty level goes."""
    cdef L3Order* order = &l3.orders[place]
    cdef L3Level* level = &l3.levels[order.level]
    level.count -= 1
    level.lots -= order.lots
    _total(l3, level, False)
    if level.count == 0:
        _level_erase(l3, _level_slot(l3, level.side, level.ticks))
        level.back = l3.level_free
        l3.level_free = order.level
        l3.level_count -= 1
        return
    if order.ahead == NO_ORDER:
        level.front = order.behind
    else:
        l3.orders[order.ahead].behind = order.behind
    if order.behind == NO_ORDER:
        level.back = order.ahead
    else:
        l3.orders[order.behind].ahead = order.ahead


cdef inline void _drop(L3Data* l3, int64_t slot) noexcept nogil:
    """Take an order out of queue, hash and pool."""
    cdef int32_t place = l3.order_slots[slot] - 1
    _leave(l3, place)
    _order_erase(l3, slot)
    l3.orders[place].id = 0
    l3.orders[place].behind = l3.order_free
    l3.order_free = place
    l3.order_count -= 1


cdef void _modify(L3Data* l3, L3Order* order, int side, int64_t ticks, int64_t lots) noexcept nogil:
    """A new price, side or a larger quantity goes to the back; a quantity that is not larger keeps its place.

    Lots that were executed before by rows that keep the book are counted as gone: an order that shows them again, as
    an iceberg does, has lost its place.
    """
    cdef int32_t place
    cdef bint stays = ticks == order.ticks and side == order.side
    cdef int64_t bid = l3.book.bid.best, ask = l3.book.ask.best, low = l3.book.bid.bound, high = l3.book.ask.bound
    if stays and lots <= order.lots - order.executed:
        order.executed = 0
        _reduce(l3, order, order.lots - lots)
        return
    place = <int32_t> (order - l3.orders)
    if _room(l3):
        _leave(l3, place)
        _enter(l3, place, side, ticks, lots)
        if stays and l3.compat:                      # no price has come or gone
            l3.book.bid.best, l3.book.ask.best, l3.book.bid.bound, l3.book.ask.bound = bid, ask, low, high


cdef inline void _reduce(L3Data* l3, L3Order* order, int64_t lots) noexcept nogil:
    """Take fewer lots than it has off an order, which keeps its place."""
    cdef L3Level* level = &l3.levels[order.level]
    level.lots -= lots
    order.lots -= lots
    _total(l3, level, False)


cdef inline void _take(L3Data* l3, int64_t slot, int64_t lots) noexcept nogil:
    """Take lots off an order; it goes when none are left."""
    cdef L3Order* order = &l3.orders[l3.order_slots[slot] - 1]
    if lots < order.lots:
        order.executed = max(order.executed - lots, 0)
        _reduce(l3, order, lots)
    else:
        l3.excess += lots > order.lots
        _drop(l3, slot)


cdef void l3_apply(L3Data* l3, const Event* row, L3Change* change) noexcept nogil:
    """Apply one ORDER_ row of an order, whose id is not 0, and tell of it before. Call book_end_message after a message.

    Unknown orders: a modification adds, a deletion and an execution do nothing; both are counted. An addition of an
    order that is here modifies it. Without lots, additions and modifications delete.
    """
    cdef int64_t slot = _order_slot(l3, row.order_id)
    cdef int32_t place = l3.order_slots[slot] - 1
    cdef L3Order* order
    if place == NO_ORDER or row.order_id == 0:
        change.entered, change.ticks, change.lots, change.side = 0, 0, 0, 0
        if row.order_id == 0:
            return
        l3.unknown += row.kind != ORDER_ADD
        if (row.kind == ORDER_ADD or row.kind == ORDER_MODIFY) and row.quantity_lots > 0 and (
                row.side == BUY or row.side == SELL):
            if l3.order_used == l3.order_capacity or l3.level_used == l3.level_capacity:
                if not _room(l3):
                    return
                slot = _order_slot(l3, row.order_id)
            place = l3.order_free
            if place != NO_ORDER:
                l3.order_free = l3.orders[place].behind
            else:
                place = l3.order_used                # < order_capacity: there is room
                l3.order_used += 1
            l3.order_slots[slot] = place + 1
            l3.order_count += 1
            l3.orders[place].id = row.order_id
            _enter(l3, place, row.side, row.price_ticks, row.quantity_lots)
        return
    order = &l3.orders[place]
    change.entered, change.ticks, change.lots, change.side = order.entered, order.ticks, order.lots, order.side
    if row.kind == ORDER_DELETE:
        _take(l3, slot, row.quantity_lots if row.quantity_lots > 0 else order.lots)
    elif row.kind == ORDER_EXECUTE:
        if not row.flags & KEEPS_BOOK:
            _take(l3, slot, row.quantity_lots)
        elif not l3.compat:
            order.executed += row.quantity_lots
    else:
        l3.repeated += row.kind == ORDER_ADD
        if row.quantity_lots <= 0:
            _drop(l3, slot)
        else:
            _modify(l3, order, row.side if row.side else order.side, row.price_ticks, row.quantity_lots)


cdef void l3_clear(L3Data* l3, int side) noexcept nogil:
    """Remove all orders of a side, or of both (0)."""
    cdef int32_t i
    if side == 0:
        memset(l3.order_slots, 0, (l3.order_mask + 1) * sizeof(int32_t))
        memset(l3.level_slots, 0, (l3.level_mask + 1) * sizeof(int32_t))
        l3.order_free = l3.level_free = NO_ORDER
        l3.order_used = l3.level_used = 0
        l3.order_count = l3.level_count = 0
    for i in range(l3.order_used):
        if l3.orders[i].id != 0 and l3.orders[i].side == side:
            _drop(l3, _order_slot(l3, l3.orders[i].id))
    book_clear(l3.book, side)


cdef void l3_clear_to(L3Data* l3, int side, int64_t ticks) noexcept nogil:
    """Remove the orders of a side from the touch to a price, that included."""
    cdef int32_t i
    for i in range(l3.order_used):
        if l3.orders[i].id != 0 and l3.orders[i].side == side and (
                l3.orders[i].ticks >= ticks if side == BUY else l3.orders[i].ticks <= ticks):
            _drop(l3, _order_slot(l3, l3.orders[i].id))
    book_clear_to(l3.book, side, ticks, l3.compat)


cdef int64_t l3_ahead(const L3Data* l3, int side, int64_t ticks, uint64_t entered) noexcept nogil:
    """Lots at a price that entered before a number. O(orders ahead)."""
    cdef int32_t at = l3_level(l3, side, ticks), place
    cdef int64_t total = 0
    if at == NO_ORDER:
        return 0
    place = l3.levels[at].front
    while place != NO_ORDER and l3.orders[place].entered < entered:
        total += l3.orders[place].lots
        place = l3.orders[place].behind
    return total


cdef inline void _clear_row(L3Data* l3, int side, int64_t ticks, bint to) noexcept nogil:
    if to:
        l3_clear_to(l3, side, ticks)
    else:
        l3_clear(l3, side)


# ---- Python face -----------------------------------------------------------------------------------------------------

cdef class L3Book:
    """See L3Book in l3.pyi."""

    def __cinit__(self, *, bint synced=True, bint compat=False):
        self.book = Book(synced=synced, compat=compat)
        self.data = l3_new(self.book.data, compat)
        if self.data == NULL:
            raise MemoryError("no memory for an order-by-order book")

    def __dealloc__(self):
        l3_free(self.data)

    def apply(self, batches, levels, rows, *, int64_t instrument=0, int64_t start=0, until=None):
        """Apply the local view's depth events of one instrument; see l3.pyi."""
        if (batches.dtype, levels.dtype, rows.dtype) != (BATCH_DTYPE, LEVEL_DTYPE, EVENT_DTYPE):
            raise TypeError("apply: arrays must have BATCH_DTYPE, LEVEL_DTYPE and EVENT_DTYPE")
        cdef const Batch[::1] b = batches
        cdef const Level[::1] lv = levels
        cdef const Event[::1] r = rows
        cdef const Batch* batch = &b[0] if len(b) else NULL
        cdef const Level* level = &lv[0] if len(lv) else NULL
        cdef const Event* row = &r[0] if len(r) else NULL
        cdef int64_t end = until if until is not None else INT64_MAX, i = start, count = len(b)
        cdef int64_t level_count = len(lv), row_count = len(r)
        while i < count and batch[i].ts_local_ns <= end:
            if <uint64_t> batch[i].first + batch[i].count > <uint64_t> (
                    level_count if batch[i].encoding == LEVELS else row_count):
                raise ValueError(f"batch {i}: its rows lie outside the arrays")
            if batch[i].instrument == instrument and batch[i].flags & AT_LOCAL:
                if self._batch(&batch[i], level, row) and (batch[i].flags & LAST_IN_BATCH or not self.data.order_count):
                    self.book.crossed_messages += self.data.book.bid.best >= self.data.book.ask.best
            i += 1
        self._lost()
        return i

    cdef int _batch(self, const Batch* batch, const Level* levels, const Event* rows) noexcept nogil:
        """Apply one message; 1 after a change of a synced book."""
        cdef uint64_t i, end = <uint64_t> batch.first + batch.count
        cdef L3Change change
        if ORDER_ADD <= batch.kind <= ORDER_EXECUTE:
            if not self.book.synced or batch.encoding != ROWS:
                return 0
            for i in range(batch.first, end):                # < the count of rows: the caller has looked
                l3_apply(self.data, &rows[i], &change)
            book_end_message(self.data.book)
            return 1
        if batch.kind == BOOK_LEVEL:
            if not self.book.synced or self.data.order_count:
                return 0
            book_apply(self.data.book, batch, levels, rows, self.data.compat)
            return 1
        if batch.kind == BOOK_CLEAR:
            for i in range(batch.first, end):
                _clear_row(self.data, levels[i].side if batch.encoding == LEVELS else rows[i].side,
                           levels[i].price_ticks if batch.encoding == LEVELS else rows[i].price_ticks,
                           batch.flags & CLEAR_TO)
            book_end_message(self.data.book)
            return 1
        if batch.kind == SNAPSHOT_BEGIN:
            l3_clear(self.data, 0)
            self.book.synced = True
        elif batch.kind == LINK_GAP or batch.kind == LINK_DOWN:
            self.book.synced = False
        return 0

    def _lost(self):
        if self.data.failed or self.data.book.bid.failed or self.data.book.ask.failed:
            raise MemoryError("an order-by-order book has lost orders: no memory, or a level beyond 2^63 lots")

    def add(self, uint64_t id, int side, int64_t ticks, int64_t lots):
        """Add an order; see l3.pyi."""
        if side != BUY and side != SELL:
            raise ValueError(f"side {side}: BUY is 1, SELL is 2")
        if not -TICKS_MAX <= ticks <= TICKS_MAX or lots <= 0 or id == 0:
            raise ValueError(f"no order: id {id}, {lots} lots at {ticks} ticks")
        self._row(ORDER_ADD, id, side, ticks, lots)

    def modify(self, uint64_t id, int64_t ticks, int64_t lots):
        """Change an order; see l3.pyi."""
        if not -TICKS_MAX <= ticks <= TICKS_MAX or lots < 0:
            raise ValueError(f"no order: id {id}, {lots} lots at {ticks} ticks")
        self._row(ORDER_MODIFY, self._known(id), 0, ticks, lots)

    def delete(self, uint64_t id, int64_t lots=0):
        """Cancel lots of an order; see l3.pyi."""
        if lots < 0:
            raise ValueError(f"a cancellation of {lots} lots")
        self._row(ORDER_DELETE, self._known(id), 0, 0, lots)

    def execute(self, uint64_t id, int64_t lots):
        """Take lots off an order; see l3.pyi."""
        if lots <= 0:
            raise ValueError(f"an execution of {lots} lots")
        self._row(ORDER_EXECUTE, self._known(id), 0, 0, lots)

    cdef _row(self, int kind, uint64_t id, int side, int64_t ticks, int64_t lots):
        cdef Event row
        cdef L3Change change
        memset(&row, 0, sizeof(Event))
        row.kind, row.order_id, row.side = <uint8_t> kind, id, <uint8_t> side
        row.price_ticks, row.quantity_lots = ticks, lots
        l3_apply(self.data, &row, &change)
        book_end_message(self.data.book)
        self._lost()

    def _known(self, uint64_t id):
        if l3_find(self.data, id) == NO_ORDER:
            raise KeyError(f"order {id} is not in the book")
        return id

    def clear(self, int side=0, ticks=None):
        """Remove the orders of a side, or of both; see l3.pyi."""
        if not 0 <= side <= SELL or (side == 0 and ticks is not None):
            raise ValueError(f"side {side}: BUY is 1, SELL is 2, and 0 is both without a price")
        _clear_row(self.data, side, 0 if ticks is None else ticks, ticks is not None)

    def order(self, uint64_t id):
        """(side, ticks, lots) of an order, None when it is not here."""
        cdef int32_t place = l3_find(self.data, id)
        if place == NO_ORDER:
            return None
        return self.data.orders[place].side, self.data.orders[place].ticks, self.data.orders[place].lots

    def ahead(self, uint64_t id):
        """Lots ahead of an order in its queue; see l3.pyi."""
        cdef int32_t place = l3_find(self.data, self._known(id))
        return l3_ahead(self.data, self.data.orders[place].side, self.data.orders[place].ticks,
                        self.data.orders[place].entered)

    def queue(self, int side, int64_t ticks):
        """(id, lots) of a level's orders, front first."""
        cdef int32_t at = l3_level(self.data, side, ticks), place
        found = []
        place = NO_ORDER if at == NO_ORDER else self.data.levels[at].front
        while place != NO_ORDER:
            found.append((self.data.orders[place].id, self.data.orders[place].lots))
            place = self.data.orders[place].behind
        return found

    def __len__(self):
        return self.data.order_count

    @property
    def unknown(self):
        return self.data.unknown

    @property
    def repeated(self):
        return self.data.repeated

    @property
    def excess(self):
        return self.data.excess

    def _check(self):
        """Walk every invariant."""
        cdef L3Data* d = self.data
        cdef int32_t i, place, last
        cdef int64_t orders = 0, levels = 0, lots, count
        cdef uint64_t entered
        for i in range(d.level_used):
            if d.levels[i].count == 0:
                continue
            levels += 1
            lots, count, entered, last = 0, 0, 0, NO_ORDER
            place = d.levels[i].front
            while place != NO_ORDER:
                assert d.orders[place].level == i and d.orders[place].side == d.levels[i].side
                assert d.orders[place].ticks == d.levels[i].ticks and d.orders[place].ahead == last
                assert d.orders[place].entered > entered, "a queue out of order"
                assert d.orders[place].lots > 0 and l3_find(d, d.orders[place].id) == place
                assert d.orders[place].executed >= 0 and d.orders[place].entered <= d.entered
                entered, last = d.orders[place].entered, place
                lots += d.orders[place].lots
                count += 1
                place = d.orders[place].behind
            assert last == d.levels[i].back and count == d.levels[i].count and lots == d.levels[i].lots
            assert l3_level(d, d.levels[i].side, d.levels[i].ticks) == i
            assert self.book.quantity(d.levels[i].side, d.levels[i].ticks) == lots, "the totals are not the orders'"
            orders += count
        assert orders == d.order_count and levels == d.level_count
        assert self.book.level_count(BUY) + self.book.level_count(SELL) == levels
        self.book._check()


include "l3_totals.pxi"
