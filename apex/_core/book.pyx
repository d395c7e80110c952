"""The L2 book: cold paths (hash of far levels, moving windows, walks) and its Python face."""

from libc.stdint cimport INT64_MIN, int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from apex._core.events cimport (
    AT_LOCAL, BOOK_CLEAR, BOOK_LEVEL, BUY, CLEAR_TO, LEVELS, LINK_DOWN, LINK_GAP, SELL, SNAPSHOT_BEGIN, Batch, Event,
    Level,
)

from apex._core.events import BATCH_DTYPE, EVENT_DTYPE, LEVEL_DTYPE

cdef int64_t FAR_EMPTY = INT64_MIN
cdef int64_t BASE_FIRST = -(<int64_t> 1 << 61)       # a window that no price is in
TICKS_MAX = (1 << 60) - 1


# ---- life ------------------------------------------------------------------------------------------------------------

cdef BookData* book_new() noexcept nogil:
    """A new empty book, or NULL without memory."""
    cdef BookData* book = <BookData*> calloc(1, sizeof(BookData))
    if book == NULL:
        return NULL
    if not _side_new(&book.bid) or not _side_new(&book.ask):
        book_free(book)
        return NULL
    _side_reset(&book.bid, NO_BID)
    _side_reset(&book.ask, NO_ASK)
    return book


cdef bint _side_new(BookSide* s) noexcept nogil:
    s.lots = <int64_t*> calloc(WINDOW, sizeof(int64_t))
    s.words = <uint64_t*> calloc(WINDOW_WORDS, sizeof(uint64_t))
    s.far_mask = FAR_FIRST - 1
    s.far_ticks = <int64_t*> malloc(FAR_FIRST * sizeof(int64_t))
    s.far_lots = <int64_t*> malloc(FAR_FIRST * sizeof(int64_t))
    s.base = BASE_FIRST
    if s.lots == NULL or s.words == NULL or s.far_ticks == NULL or s.far_lots == NULL:
        return False
    _far_wipe(s)
    return True


cdef void book_free(BookData* book) noexcept nogil:
    if book == NULL:
        return
    free(book.bid.lots)
    free(book.bid.words)
    free(book.bid.far_ticks)
    free(book.bid.far_lots)
    free(book.ask.lots)
    free(book.ask.words)
    free(book.ask.far_ticks)
    free(book.ask.far_lots)
    free(book)


# ---- the hash of far levels --------------------------------------------------------------------------------------------

cdef inline int64_t _home(const BookSide* s, int64_t ticks) noexcept nogil:
    return <int64_t> ((<uint64_t> ticks * <uint64_t> 0x9E3779B97F4A7C15) >> 32) & s.far_mask


cdef void _far_wipe(BookSide* s) noexcept nogil:
    cdef int64_t i
    for i in range(s.far_mask + 1):
        s.far_ticks[i] = FAR_EMPTY
    s.far_count = 0


cdef inline int64_t _far_slot(const BookSide* s, int64_t ticks) noexcept nogil:
    """Slot of the tick, or the empty slot where it belongs; at most half of the slots are taken."""
    cdef int64_t i = _home(s, ticks)
    while s.far_ticks[i] != FAR_EMPTY and s.far_ticks[i] != ticks:
        i = (i + 1) & s.far_mask
    return i


cdef int64_t side_far_get(const BookSide* s, int64_t ticks) noexcept nogil:
    cdef int64_t i = _far_slot(s, ticks)
    return s.far_lots[i] if s.far_ticks[i] == ticks else 0


cdef void _far_erase(BookSide* s, int64_t hole) noexcept nogil:
    """Empty a taken slot; later entries of its run move back, so that no search meets a gap."""
    cdef int64_t i = hole, home
    while True:
        i = (i + 1) & s.far_mask
        if s.far_ticks[i] == FAR_EMPTY:
            break
        home = _home(s, s.far_ticks[i])
        if ((i - home) & s.far_mask) >= ((i - hole) & s.far_mask):
            s.far_ticks[hole] = s.far_ticks[i]
            s.far_lots[hole] = s.far_lots[i]
            hole = i
    s.far_ticks[hole] = FAR_EMPTY
    s.far_count -= 1


cdef bint _far_grow(BookSide* s) noexcept nogil:
    cdef int64_t slots = s.far_mask + 1, i, j
    cdef int64_t* ticks = s.far_ticks
    cdef int64_t* lots = s.far_lots
    if slots >= FAR_SLOTS_MAX:
        return False
    s.far_ticks = <int64_t*> malloc(2 * slots * sizeof(int64_t))
    s.far_lots = <int64_t*> malloc(2 * slots * sizeof(int64_t))
    if s.far_ticks == NULL or s.far_lots == NULL:
        free(s.far_ticks)
        free(s.far_lots)
        s.far_ticks, s.far_lots = ticks, lots
        return False
    s.far_mask = 2 * slots - 1
    _far_wipe(s)
    for i in range(slots):
        if ticks[i] != FAR_EMPTY:
            j = _far_slot(s, ticks[i])
            s.far_ticks[j], s.far_lots[j] = ticks[i], lots[i]
            s.far_count += 1
    free(ticks)
    free(lots)
    return True


cdef void _far_insert(BookSide* s, int64_t ticks, int64_t lots) noexcept nogil:
    """Store lots > 0 at a far tick. Without room the level is lost and the side marked as failed."""
    cdef int64_t i = _far_slot(s, ticks)
    if s.far_ticks[i] == ticks:
        s.far_lots[i] = lots
        return
    if 2 * (s.far_count + 1) > s.far_mask + 1:
        if not _far_grow(s):
            s.failed = True
            s.level_count -= 1
            return
        i = _far_slot(s, ticks)
    s.far_ticks[i], s.far_lots[i] = ticks, lots
    s.far_count += 1


cdef void side_far_put(BookSide* s, int side, int64_t ticks, int64_t lots) noexcept nogil:
    """_side_put for a tick outside the window. A new touch takes the window along."""
    cdef int64_t i
    if lots and (s.level_count == 0 or (ticks > s.best if side == BUY else ticks < s.best)):
        side_recentre(s, ticks)
        _side_put(s, side, ticks, lots)
        return
    i = _far_slot(s, ticks)
    if lots:
        s.level_count += s.far_ticks[i] != ticks
        _far_insert(s, ticks, lots)
    elif s.far_ticks[i] == ticks:
        _far_erase(s, i)
        s.level_count -= 1


# ---- the window --------------------------------------------------------------------------------------------------------

cdef int64_t _window_below(const BookSide* s, int64_t slot) noexcept nogil:
    """Highest taken slot < slot, or -1; 0 <= slot <= WINDOW."""
    cdef int64_t word = slot >> 6, group
    cdef uint64_t left
    if word < WINDOW_WORDS:
        left = s.words[word] & ((<uint64_t> 1 << (slot & 63)) - 1)
        if left:
            return (word << 6) + apex_highest(left)
    group = word >> 6
    if group < WINDOW_GROUPS:
        left = s.groups[group] & ((<uint64_t> 1 << (word & 63)) - 1)
        if left:
            word = (group << 6) + apex_highest(left)
            return (word << 6) + apex_highest(s.words[word])
    left = s.top & ((<uint64_t> 1 << group) - 1)
    if not left:
        return -1
    group = apex_highest(left)
    word = (group << 6) + apex_highest(s.groups[group])
    return (word << 6) + apex_highest(s.words[word])


cdef int64_t _window_above(const BookSide* s, int64_t slot) noexcept nogil:
    """Lowest taken slot > slot, or -1; -1 <= slot < WINDOW."""
    cdef int64_t word, group
    cdef uint64_t left
    slot += 1                                        # lowest taken slot >= slot
    if slot >= WINDOW:
        return -1
    word = slot >> 6
    left = s.words[word] & (~<uint64_t> 0 << (slot & 63))
    if left:
        return (word << 6) + apex_lowest(left)
    group = word >> 6
    left = s.groups[group] & ((~<uint64_t> 0 << (word & 63)) << 1)
    if not left:
        left = s.top & ((~<uint64_t> 0 << group) << 1)
        if not left:
            return -1
        group = apex_lowest(left)
        left = s.groups[group]
    word = (group << 6) + apex_lowest(left)
    return (word << 6) + apex_lowest(s.words[word])


cdef int64_t side_below(const BookSide* s, int64_t ticks) noexcept nogil:
    """Highest level below a tick, or NO_BID. O(1) in the window, O(hash) outside."""
    cdef int64_t slot = ticks - s.base, found, best = NO_BID, i
    if 0 <= slot:
        found = _window_below(s, min(slot, <int64_t> WINDOW))
        if found >= 0:
            best = s.base + found
            if slot <= WINDOW:
                return best                          # nothing far lies between
    if s.far_count:
        for i in range(s.far_mask + 1):
            if best < s.far_ticks[i] < ticks:       # FAR_EMPTY is below every best
                best = s.far_ticks[i]
    return best


cdef int64_t side_above(const BookSide* s, int64_t ticks) noexcept nogil:
    """Lowest level above a tick, or NO_ASK. O(1) in the window, O(hash) outside."""
    cdef int64_t slot = ticks - s.base, found, best = NO_ASK, i
    if slot < WINDOW:
        found = _window_above(s, max(slot, <int64_t> -1))
        if found >= 0:
            best = s.base + found
            if slot >= -1:
                return best
    if s.far_count:
        for i in range(s.far_mask + 1):
            if best > s.far_ticks[i] > ticks:
                best = s.far_ticks[i]
    return best


cdef int64_t side_next_bid(BookSide* s, int64_t ticks) noexcept nogil:
    cdef int64_t found = side_below(s, ticks)
    if found != NO_BID and <uint64_t> (found - s.base) >= WINDOW:
        side_recentre(s, found)
    return found


cdef int64_t side_next_ask(BookSide* s, int64_t ticks) noexcept nogil:
    cdef int64_t found = side_above(s, ticks)
    if found != NO_ASK and <uint64_t> (found - s.base) >= WINDOW:
        side_recentre(s, found)
    return found


cdef void side_recentre(BookSide* s, int64_t ticks) noexcept nogil:
    """Move the window so that a tick is in its middle. No level, count or best changes.

    Complexity: O(levels in the window + hash slots).
    """
    cdef int64_t base = (ticks - WINDOW // 2) & ~<int64_t> 63
    cdef int64_t shift = base - s.base, slot, target, lots, i
    cdef uint64_t words[WINDOW_WORDS]
    if shift == 0:
        return
    s.recentres += 1
    memset(words, 0, sizeof(words))
    # Walk away from the direction of the move: a slot is written only after it was read.
    slot = _window_above(s, -1) if shift > 0 else _window_below(s, WINDOW)
    while slot >= 0:
        lots = s.lots[slot]
        s.lots[slot] = 0
        target = slot - shift
        if 0 <= target < WINDOW:
            s.lots[target] = lots
            words[target >> 6] |= <uint64_t> 1 << (target & 63)
        else:
            _far_insert(s, s.base + slot, lots)
        slot = _window_above(s, slot) if shift > 0 else _window_below(s, slot)
    s.base = base
    # Far levels that are inside now. An erased slot is looked at again, since a later entry may have moved into it.
    i = 0
    while i <= s.far_mask and s.far_count:
        target = <int64_t> (<uint64_t> s.far_ticks[i] - <uint64_t> base)      # unsigned: FAR_EMPTY is the lowest int64
        if s.far_ticks[i] != FAR_EMPTY and 0 <= target < WINDOW:
            s.lots[target] = s.far_lots[i]
            words[target >> 6] |= <uint64_t> 1 << (target & 63)
            _far_erase(s, i)
        else:
            i += 1
    memcpy(s.words, words, sizeof(words))
    memset(s.groups, 0, sizeof(s.groups))
    s.top = 0
    for i in range(WINDOW_WORDS):
        if words[i]:
            s.groups[i >> 6] |= <uint64_t> 1 << (i & 63)
            s.top |= <uint64_t> 1 << (i >> 6)


# ---- clearing ------------------------------------------------------------------------------------------------------------

cdef void _side_reset(BookSide* s, int64_t none) noexcept nogil:
    """Remove all levels; the window stays where it was."""
    cdef int64_t slot = _window_above(s, -1)
    while slot >= 0:
        s.lots[slot] = 0
        slot = _window_above(s, slot)
    memset(s.words, 0, WINDOW_WORDS * sizeof(uint64_t))
    memset(s.groups, 0, sizeof(s.groups))
    s.top = 0
    if s.far_count:
        _far_wipe(s)
    s.level_count = 0
    s.best = none
    s.bound = -none                                  # NO_ASK for bids, NO_BID for asks


cdef void book_clear(BookData* book, int side) noexcept nogil:
    """Remove all levels of a side, or of both (side 0)."""
    if side != SELL:
        _side_reset(&book.bid, NO_BID)
    if side != BUY:
        _side_reset(&book.ask, NO_ASK)


cdef void book_clear_to(BookData* book, int side, int64_t ticks, bint compat) noexcept nogil:
    """Remove the levels from the touch to a price, that included.

    compat, hftbacktest's rule: stale levels beyond the best stay, and the search for the new best starts one tick
    too far, so that a level next to the cleared range is passed over.
    """
    cdef int64_t tick
    cdef BookSide* s
    if side == BUY:
        s = &book.bid
        tick = side_below(s, s.best + 1 if compat and s.best != NO_BID else NO_ASK)
        while tick >= ticks and tick != NO_BID and not (compat and s.best == NO_BID):
            _side_put(s, BUY, tick, 0)
            tick = side_below(s, tick)
        s.best = side_next_bid(s, ticks - 1 if compat else ticks)
        if compat and s.best < s.bound:
            s.best, s.bound = NO_BID, NO_ASK
    elif side == SELL:
        s = &book.ask
        tick = side_above(s, s.best - 1 if compat and s.best != NO_ASK else NO_BID)
        while tick <= ticks and tick != NO_ASK and not (compat and s.best == NO_ASK):
            _side_put(s, SELL, tick, 0)
            tick = side_above(s, tick)
        s.best = side_next_ask(s, ticks + 1 if compat else ticks)
        if compat and s.best > s.bound:
            s.best, s.bound = NO_ASK, NO_BID


# ---- reading -------------------------------------------------------------------------------------------------------------

cdef int64_t book_next(const BookData* book, int side, int64_t ticks) noexcept nogil:
    """The next level away from the touch, or NO_BID / NO_ASK."""
    return side_below(&book.bid, ticks) if side == BUY else side_above(&book.ask, ticks)


cdef int64_t book_walk(const BookData* book, int side, int64_t lots, int64_t limit, int64_t* worst,
                       int64_t* cost) noexcept nogil:
    """Lots that a taker of this side's levels could take up to a limit price, from the touch.

    worst: last tick reached. cost: sum of ticks * lots; the caller bounds lots * ticks below 2^63.
    """
    cdef int64_t tick = book.bid.best if side == BUY else book.ask.best, left = lots, take
    cost[0] = 0
    while left > 0 and tick != NO_BID and tick != NO_ASK and (tick >= limit if side == BUY else tick <= limit):
        take = min(left, book_quantity(book, side, tick))
        cost[0] += take * tick
        left -= take
        worst[0] = tick
        tick = book_next(book, side, tick)
    return lots - left


cdef int64_t book_volume_within(const BookData* book, int side, int64_t ticks) noexcept nogil:
    """Lots of a side at most so many ticks from its best (0: the best alone)."""
    cdef int64_t tick = book.bid.best if side == BUY else book.ask.best
    cdef int64_t reach = min(ticks, <int64_t> 1 << 61)                # as good as all: levels lie within +-2^60
    cdef int64_t end = tick - reach if side == BUY else tick + reach, total = 0
    while tick != NO_BID and tick != NO_ASK and (tick >= end if side == BUY else tick <= end):
        total += book_quantity(book, side, tick)
        tick = book_next(book, side, tick)
    return total


cdef int book_top(const BookData* book, int side, int count, int64_t* ticks, int64_t* lots) noexcept nogil:
    """Copy the first levels of a side; returns how many there were."""
    cdef int64_t tick = book.bid.best if side == BUY else book.ask.best
    cdef int n = 0
    while n < count and tick != NO_BID and tick != NO_ASK:
        ticks[n], lots[n] = tick, book_quantity(book, side, tick)
        n += 1
        tick = book_next(book, side, tick)
    return n


cdef int book_apply(BookData* book, const Batch* batch, const Level* levels, const Event* rows,
                    bint compat) noexcept nogil:
    """Apply one depth message. Returns 1 after BOOK_LEVEL or BOOK_CLEAR, 2 after a snapshot's begin, 3 after a loss of
    sync, 0 for anything else."""
    cdef uint64_t i
    cdef int side
    cdef int64_t ticks
    if batch.kind == BOOK_LEVEL:
        if batch.encoding == LEVELS:
            if compat:
                book_set_levels(book, levels + batch.first, batch.count, True)
            else:
                book_set_levels(book, levels + batch.first, batch.count, False)
        else:
            for i in range(batch.first, <uint64_t> batch.first + batch.count):
                book_set(book, rows[i].side, rows[i].price_ticks, rows[i].quantity_lots, compat)
    elif batch.kind == BOOK_CLEAR:
        for i in range(batch.first, <uint64_t> batch.first + batch.count):
            side = levels[i].side if batch.encoding == LEVELS else rows[i].side
            ticks = levels[i].price_ticks if batch.encoding == LEVELS else rows[i].price_ticks
            if batch.flags & CLEAR_TO:
                book_clear_to(book, side, ticks, compat)
            else:
                book_clear(book, side)
    elif batch.kind == SNAPSHOT_BEGIN:
        book_clear(book, 0)
        return 2
    elif batch.kind == LINK_GAP or batch.kind == LINK_DOWN:
        return 3
    else:
        return 0
    book_end_message(book)
    return 1


# ---- Python face -----------------------------------------------------------------------------------------------------------

cdef class Book:
    """An L2 book for Python: tests, tapes and notebooks. The engine works on its C data."""

    def __cinit__(self, *, bint synced=True, bint compat=False):
        self.data = book_new()
        if self.data == NULL:
            raise MemoryError("no memory for a book")
        self.synced, self.compat = synced, compat

    def __dealloc__(self):
        book_free(self.data)

    def set(self, int side, int64_t ticks, int64_t lots):
        _check_side(side)
        if not -TICKS_MAX <= ticks <= TICKS_MAX:
            raise ValueError(f"price of {ticks} ticks: beyond +-2^60")
        if lots < 0:
            raise ValueError(f"quantity of {lots} lots at {ticks}: must be >= 0")
        if self.compat:
            book_set(self.data, side, ticks, lots, True)
        else:
            book_set(self.data, side, ticks, lots, False)

    def end_message(self):
        book_end_message(self.data)

    def clear(self, int side=0):
        if side:
            _check_side(side)
        book_clear(self.data, side)

    def clear_to(self, int side, int64_t ticks):
        _check_side(side)
        book_clear_to(self.data, side, ticks, self.compat)

    @property
    def bid_ticks(self):
        return None if self.data.bid.best == NO_BID else self.data.bid.best

    @property
    def ask_ticks(self):
        return None if self.data.ask.best == NO_ASK else self.data.ask.best

    @property
    def crossed(self):
        return book_crossed(self.data)

    @property
    def locked(self):
        return book_locked(self.data)

    @property
    def negatives(self):
        return self.data.negatives

    @property
    def recentres(self):
        return self.data.bid.recentres + self.data.ask.recentres

    def quantity(self, int side, int64_t ticks):
        _check_side(side)
        return book_quantity(self.data, side, ticks)

    def level_count(self, int side):
        _check_side(side)
        return self.data.bid.level_count if side == BUY else self.data.ask.level_count

    def levels(self, int side, int count=-1):
        _check_side(side)
        cdef const BookSide* s = &self.data.bid if side == BUY else &self.data.ask
        cdef int64_t tick = s.best, i
        if count < 0:                                # all, sorted: a walk looks through the far ones at each step
            found = [(s.base + i, s.lots[i]) for i in range(WINDOW) if s.lots[i]]
            found += [(s.far_ticks[i], s.far_lots[i]) for i in range(s.far_mask + 1) if s.far_ticks[i] != FAR_EMPTY]
            return sorted([x for x in found if (x[0] <= tick if side == BUY else x[0] >= tick)], reverse=side == BUY)
        found = []
        while tick != NO_BID and tick != NO_ASK and len(found) != count:
            found.append((tick, book_quantity(self.data, side, tick)))
            tick = book_next(self.data, side, tick)
        return found

    def walk(self, int side, int64_t lots, limit=None):
        _check_side(side)
        if lots < 0:
            raise ValueError(f"{lots} lots: must be >= 0")
        cdef int64_t tick = self.data.bid.best if side == BUY else self.data.ask.best
        cdef int64_t end = limit if limit is not None else (NO_BID + 1 if side == BUY else NO_ASK - 1), take
        cdef object cost = 0, left = lots, worst = None
        while left > 0 and tick != NO_BID and tick != NO_ASK and (tick >= end if side == BUY else tick <= end):
            take = min(left, book_quantity(self.data, side, tick))
            cost, left, worst = cost + int(take) * int(tick), left - take, tick
            tick = book_next(self.data, side, tick)
        return lots - left, worst, cost

    def volume_within(self, int side, int64_t ticks):
        _check_side(side)
        if ticks < 0:
            raise ValueError(f"{ticks} ticks: must be >= 0")
        return book_volume_within(self.data, side, ticks)

    def apply(self, batches, levels, rows, *, int64_t instrument=0, int64_t start=0, until=None):
        if (batches.dtype, levels.dtype, rows.dtype) != (BATCH_DTYPE, LEVEL_DTYPE, EVENT_DTYPE):
            raise TypeError("apply: arrays must have BATCH_DTYPE, LEVEL_DTYPE and EVENT_DTYPE")
        cdef const Batch[::1] b = batches
        cdef const Level[::1] v = levels
        cdef const Event[::1] r = rows
        cdef const Batch* batch = &b[0] if len(b) else NULL
        cdef const Level* level = &v[0] if len(v) else NULL
        cdef const Event* row = &r[0] if len(r) else NULL
        cdef int64_t end = until if until is not None else 9223372036854775807, i = start, count = len(b)
        cdef int what
        while i < count and batch[i].ts_local_ns <= end:
            if <uint64_t> batch[i].first + batch[i].count > <uint64_t> (len(v) if batch[i].encoding == LEVELS else len(r)):
                raise ValueError(f"batch {i}: its rows lie outside the arrays")
            if batch[i].instrument == instrument and batch[i].flags & AT_LOCAL:
                if batch[i].kind == BOOK_LEVEL and not self.synced:
                    i += 1
                    continue
                what = book_apply(self.data, &batch[i], level, row, self.compat)
                if what == 1:
                    self.crossed_messages += self.data.bid.best >= self.data.ask.best
                elif what:
                    self.synced = what == 2
            i += 1
        return i

    def _check(self):
        _check_one(&self.data.bid, BUY, self.compat)
        _check_one(&self.data.ask, SELL, self.compat)


cdef _check_side(int side):
    if side != BUY and side != SELL:
        raise ValueError(f"side {side}: BUY is 1, SELL is 2")


cdef _check_one(BookSide* s, int side, bint compat):
    """Walk every invariant of a side."""
    cdef int64_t i, slot, count = 0, far = 0, best = NO_BID if side == BUY else NO_ASK, taken = 0, negative = 0
    assert s.base % 64 == 0
    for i in range(WINDOW):
        taken += s.lots[i] != 0
        negative += s.lots[i] < 0
    assert not negative
    slot = _window_above(s, -1)
    while slot >= 0:
        assert s.lots[slot], ("a bit without a level", s.base + slot)
        count += 1
        best = max(best, s.base + slot) if side == BUY else min(best, s.base + slot)
        slot = _window_above(s, slot)
    assert count == taken, ("levels without a bit", taken - count)
    for i in range(WINDOW_WORDS):
        assert bool(s.groups[i >> 6] >> (i & 63) & 1) == (s.words[i] != 0), ("bit of a word", i)
    for i in range(WINDOW_GROUPS):
        assert bool(s.top >> i & 1) == (s.groups[i] != 0), ("bit of a group", i)
    for i in range(s.far_mask + 1):
        if s.far_ticks[i] != FAR_EMPTY:
            far += 1
            assert s.far_lots[i] > 0
            assert not 0 <= s.far_ticks[i] - s.base < WINDOW, ("far level inside the window", s.far_ticks[i])
            assert _far_slot(s, s.far_ticks[i]) == i, ("unreachable far level", s.far_ticks[i])
            best = max(best, s.far_ticks[i]) if side == BUY else min(best, s.far_ticks[i])
    assert far == s.far_count and 2 * far <= s.far_mask + 1
    assert count + far == s.level_count, ("level count", count, far, s.level_count)
    assert compat or best == s.best, ("best", best, s.best)
