"""The engine: events in, commands out through the gate. It does not know where the events come from."""

cimport cython
from cpython.number cimport PyNumber_Index
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from collections import namedtuple
from operator import attrgetter

import numpy as np

from apex._core.book cimport (
    NO_ASK, NO_BID, book_clear, book_clear_to, book_end_message, book_free, book_new, book_quantity, book_set,
    book_set_levels,
)
from apex._core.events cimport (
    ACK, AMEND, BOOK_CLEAR, BOOK_LEVEL, BUY, BY_MARK, CANCEL, CANCELED, CLEAR_TO, FILL, FOK, FUNDING, GTC, GTX, IOC,
    KEEPS_BOOK, LAST_IN_BATCH, LEVELS, LIMIT, LINK_DOWN, LINK_GAP, LIQUIDATE, LIQUIDATION, MAKER, MARKET, NOT_MARKET, OPTIMISTIC,
    ORDER_ADD, ORDER_EXECUTE, PLACE, REDUCE_ONLY, REJECT, ROWS, SELL, SNAPSHOT_BEGIN, STOP, STOP_LIMIT, TIMER, TRADE,
    TRAILING, TRIGGERED,
)
from apex._core.features cimport Features
from apex._core.fees cimport Fees
from apex._core.l3 cimport L3Change, l3_apply, l3_clear, l3_clear_to, l3_free, l3_new
from apex._core.ledger cimport FUNDING_CHARGE, LIQUIDATION_CHARGE, Position, apex_fits, apex_mul2, apex_saturate, int128
from apex._core.risk cimport ALLOWED
from apex._core.signals cimport DIRTY_BOOK, DIRTY_TRADE

from apex._core.events import EVENT_DTYPE
from apex._core.feature import duration_ns

cdef enum:
    ACTIVE_FIRST = 256       # room for working orders of one instrument; doubled when it is full
    TIMERS_MAX = 256
    AT_ONCE_MAX = 10_000     # timers asked for at a time that is not later
    BARS_MAX = 64

cdef int64_t DAY_NS = 86_400_000_000_000

cdef int64_t NEVER = 9223372036854775807
cdef int64_t COUNTER_MASK = (1 << 40) - 1

STATES = {
    IN_FLIGHT: "open", WORKING: "open", DONE_FILLED: "filled", DONE_CANCELED: "canceled", DONE_EXPIRED: "expired",
    DONE_REJECTED: "rejected", DONE_DENIED: "denied",
}
SIDES = {"buy": BUY, "sell": SELL}
TIFS = {"GTC": GTC, "GTX": GTX, "IOC": IOC, "FOK": FOK}

Fill = namedtuple("Fill", "id side price_ticks quantity_lots maker")
Bar = namedtuple("Bar", "instrument open_ns interval_ns open high low close volume taker_buy trades")

cdef OrderRow _order
cdef FillRow _fill
cdef EquityRow _equity_row
cdef MarkRow _mark
ORDER_DTYPE = np.asarray(<OrderRow[:1]> &_order).dtype
FILL_DTYPE = np.asarray(<FillRow[:1]> &_fill).dtype
EQUITY_DTYPE = np.asarray(<EquityRow[:1]> &_equity_row).dtype
MARK_DTYPE = np.asarray(<MarkRow[:1]> &_mark).dtype


cdef class Strategy:
    """Base class of strategies; see engine.pyi."""

    def __init__(self, params=None):
        self.params = params

    def on_start(self, view):
        """Called once before the first event: ask for timers, signals and moves here."""

    def on_stop(self, view):
        """Called once after the last event."""

    cdef int on_batch(self, View view, int instrument, const Batch* batch, const Level* levels,
                      const Event* rows) except -1:
        """Every message of the local view: for subclasses written in Cython that set `wants_rows`.

        `batch.encoding` says whether its `count` rows begin at `levels` or at `rows`.
        """
        return 0


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Working:
    """See Working in engine.pyi."""

    def __repr__(self):
        return (f"Working(id={self.id}, side={self.side!r}, price_ticks={self.price_ticks}, "
                f"quantity_lots={self.quantity_lots}, filled_lots={self.filled_lots}, "
                f"acknowledged={self.acknowledged}, pending={self.pending})")


_working_id = attrgetter("id")


cdef object _table(object dtype, void* rows, int64_t count, bint copy):
    """C rows as a structured array whose dtype was derived from them: a copy with their padding, or themselves."""
    if count == 0:
        return np.zeros(0, dtype)
    found = np.asarray(<unsigned char[:count * dtype.itemsize]> rows)
    return (found.copy() if copy else found).view(dtype)


cdef class Slot:
    def __cinit__(self, Strategy strategy, int index):
        self.strategy = strategy
        self.index = index
        self.on_timer = getattr(strategy, "on_timer", None)
        self.on_signal = getattr(strategy, "on_signal", None)
        self.on_book = getattr(strategy, "on_book", None)
        self.on_fill = getattr(strategy, "on_fill", None)
        self.on_bar = getattr(strategy, "on_bar", None)
        self.outlasts = getattr(strategy, "outlasts_events", False)
        self.waits = getattr(strategy, "waits_for_book", True)
        self.wants_rows = getattr(strategy, "wants_rows", False)


cdef class Engine:
    def __cinit__(self, int count, *args, **kwargs):
        self.count = count
        self.local = <LocalSide*> calloc(max(count, 1), sizeof(LocalSide))
        self.timers = <Timer*> calloc(TIMERS_MAX, sizeof(Timer))
        self.bars = <BarState*> calloc(BARS_MAX, sizeof(BarState))
        if self.local == NULL or self.timers == NULL or self.bars == NULL:
            raise MemoryError("no memory for the engine")
        for i in range(count):
            self.local[i].book = book_new()
            self.local[i].active = <int32_t*> calloc(ACTIVE_FIRST, sizeof(int32_t))
            self.local[i].active_capacity = ACTIVE_FIRST
            if self.local[i].book == NULL or self.local[i].active == NULL:
                raise MemoryError("no memory for the engine's books")
        self.timer_next = self.bar_next = NEVER
        self.last_fill = -1
        self.day = -1

    def __dealloc__(self):
        if self.local != NULL:
            for i in range(self.count):
                l3_free(self.local[i].l3)
                if self.local[i].book != NULL:
                    book_free(self.local[i].book)
                free(self.local[i].active)
        free(self.local)
        free(self.timers)
        free(self.bars)
        free(self.orders)
        free(self.more)
        free(self.attached)
        free(self.fills)
        free(self.equity)
        free(self.marks)
        free(self.quiet)

    def __init__(self, int count, Ledger ledger not None, RiskGate gate not None, Signals signals not None,
                 list features not None, compat=False, synced=(), grids=(), cash=0, fees=None, visible=False):
        """See Engine in engine.pyi."""
        if not count == ledger.count == gate.count == len(features) or not all(isinstance(f, Features) for f in features):
            raise ValueError(f"{count} instruments need a ledger, a gate and Features of as many")
        if not all(0 <= i < count for i in synced):
            raise ValueError(f"synced names instruments that are not here: {list(synced)}")
        self.ledger, self.gate, self.signals, self.features = ledger, gate, signals, features
        self.compat = compat
        self.slots, self.rule_slot = [], []
        self.grids = list(grids)
        self.cash_start = cash
        self.fees, self.visible = fees, visible
        self.timers_end = NEVER
        for i in synced:
            self.local[<int> i].synced = True

    # ---- events in ---------------------------------------------------------------------------------------------

    def step(self, rows not None):
        """Apply canonical rows in order; see engine.pyi."""
        cdef Py_ssize_t i
        cdef Batch batch
        cdef Level level
        if rows.dtype != EVENT_DTYPE:
            raise TypeError(f"step: rows of {EVENT_DTYPE} are needed, not {rows.dtype}")
        cdef const Event[::1] events = rows
        for i in range(events.shape[0]):
            if events[i].instrument >= <uint32_t> self.count:
                raise IndexError(f"row {i}: instrument {events[i].instrument} is not in this run: it has {self.count}")
            if events[i].kind >= ACK and events[i].kind <= LIQUIDATION:
                self.on_reply(&events[i])
            elif events[i].kind == TIMER:
                self.on_timers(events[i].ts_local_ns)
            else:
                memset(&batch, 0, sizeof(Batch))
                batch.ts_exchange_ns, batch.ts_local_ns = events[i].ts_exchange_ns, events[i].ts_local_ns
                batch.sequence, batch.instrument = events[i].sequence, events[i].instrument
                batch.count, batch.flags, batch.kind = 1, events[i].flags, events[i].kind
                batch.encoding = 1
                self.on_batch(<int> events[i].instrument, &batch, &level, &events[i], events[i].ts_local_ns)

    cdef int on_batch(self, int instrument, const Batch* batch, const Level* levels, const Event* rows,
                      int64_t now) except -1:
        """One message of the local view. `levels` and `rows` are the sections that `first` points into."""
        cdef LocalSide* side = &self.local[instrument]
        cdef BookData* book = side.book
        cdef const Level* level = levels + batch.first
        cdef const Event* row = rows + batch.first
        cdef uint32_t i
        self.now = now
        self.rows += batch.count
        if batch.kind == BOOK_LEVEL and side.synced:
            if batch.encoding == LEVELS:
                if self.compat:
                    book_set_levels(book, level, batch.count, True)
                else:
                    book_set_levels(book, level, batch.count, False)
            else:
                for i in range(batch.count):
                    if self.compat:
                        book_set(book, row[i].side, row[i].price_ticks, row[i].quantity_lots, True)
                    else:
                        book_set(book, row[i].side, row[i].price_ticks, row[i].quantity_lots, False)
            book_end_message(book)
            side.book_ts_ns = now
            side.dirty |= DIRTY_BOOK
        elif batch.kind == TRADE:
            if not batch.flags & NOT_MARKET and (self.bar_count or self.uses_features):
                self._trades(instrument, batch, level, row)
                side.dirty |= DIRTY_TRADE
        elif ORDER_ADD <= batch.kind <= ORDER_EXECUTE:
            if side.synced and batch.encoding == ROWS:
                self._orders(instrument, batch, row)
        elif batch.kind == BOOK_CLEAR:
            self._clear(side, batch, level, row)
        elif batch.kind == SNAPSHOT_BEGIN:
            if side.l3 != NULL:
                l3_clear(side.l3, 0)
            else:
                book_clear(book, 0)
            side.synced = True
            side.dirty |= DIRTY_BOOK
            if self.uses_features:
                (<Features> self.features[instrument]).on_gap()
        elif batch.kind == LINK_GAP or batch.kind == LINK_DOWN:
            side.synced = False
            side.dirty = 0
            if self.uses_features:
                (<Features> self.features[instrument]).on_gap()
        if batch.flags & LAST_IN_BATCH and side.dirty:
            self._message_end(instrument)
        if self.uses_rows:
            for slot in self.slots:
                if (<Slot> slot).wants_rows:
                    (<Slot> slot).strategy.on_batch((<Slot> slot).view, instrument, batch, level, row)
        return 0

    cdef int _trades(self, int instrument, const Batch* batch, const Level* level, const Event* row) except -1:
        """Market trades, for bars and features."""
        cdef uint32_t i
        for i in range(batch.count):
            if batch.encoding == LEVELS:
                self._trade(instrument, level[i].side, level[i].price_ticks, level[i].quantity_lots,
                            batch.ts_exchange_ns)
            else:
                self._trade(instrument, row[i].side, row[i].price_ticks, row[i].quantity_lots, batch.ts_exchange_ns)
        return 0

    cdef int _trade(self, int instrument, int side, int64_t ticks, int64_t lots, int64_t venue_ns) except -1:
        """One market trade; `side` is the aggressor's."""
        cdef int bar
        for bar in range(self.bar_count):
            if self.bars[bar].instrument == instrument:
                _bar_trade(&self.bars[bar], side, ticks, lots, self.now)
        if self.uses_features:
            (<Features> self.features[instrument]).on_trade(side, ticks, lots, self.now, venue_ns)
        return 0

    cdef int _clear(self, LocalSide* side, const Batch* batch, const Level* level, const Event* row) except -1:
        """The rows of a BOOK_CLEAR message."""
        cdef uint32_t i
        cdef int which
        cdef int64_t ticks
        for i in range(batch.count):
            which = level[i].side if batch.encoding == LEVELS else row[i].side
            ticks = level[i].price_ticks if batch.encoding == LEVELS else row[i].price_ticks
            if side.l3 != NULL:
                if batch.flags & CLEAR_TO and not self.compat:      # hftbacktest clears the side
                    l3_clear_to(side.l3, which, ticks)
                else:
                    l3_clear(side.l3, which)
            elif batch.flags & CLEAR_TO:
                book_clear_to(side.book, which, ticks, self.compat)
            else:
                book_clear(side.book, which)
        book_end_message(side.book)
        side.dirty |= DIRTY_BOOK
        return 0

    cdef int _orders(self, int instrument, const Batch* batch, const Event* row) except -1:
        """One market-by-order message: into the orders' book, whose totals are the instrument's L2 book."""
        cdef LocalSide* side = &self.local[instrument]
        cdef L3Change change
        cdef uint32_t i
        if side.l3 == NULL:
            side.l3 = l3_new(side.book, self.compat)
            if side.l3 == NULL:
                raise MemoryError(f"no memory for the orders of instrument {instrument}")
        for i in range(batch.count):
            l3_apply(side.l3, &row[i], &change)
            if batch.kind == ORDER_EXECUTE and not batch.flags & (KEEPS_BOOK | NOT_MARKET) and (
                    self.bar_count or self.uses_features):
                self._trade(instrument, SELL if (row[i].side or change.side) == BUY else BUY, row[i].price_ticks,
                            row[i].quantity_lots, batch.ts_exchange_ns)
                side.dirty |= DIRTY_TRADE
        if side.l3.failed:
            raise MemoryError(f"the orders of instrument {instrument}: no memory, or a level beyond 2^63 lots")
        if batch.kind != ORDER_EXECUTE or not batch.flags & KEEPS_BOOK:
            book_end_message(side.book)
            side.book_ts_ns = self.now
            side.dirty |= DIRTY_BOOK
        return 0

    cdef int _message_end(self, int instrument) except -1:
        """After a whole message: mid and features of a changed book, then signals, then moves."""
        cdef LocalSide* side = &self.local[instrument]
        cdef int64_t bid = side.book.bid.best, ask = side.book.ask.best
        cdef uint32_t dirty = side.dirty
        cdef bint valid = bid != NO_BID and ask != NO_ASK and bid < ask
        side.dirty = 0
        if side.book.bid.failed or side.book.ask.failed:
            raise MemoryError(f"no memory for the book of instrument {instrument}")
        if dirty & DIRTY_BOOK:
            if valid:
                side.mid2 = bid + ask
                self.ready += not side.has_mid
                side.has_mid = True
            if self.uses_features:
                (<Features> self.features[instrument]).on_book(side.book, valid, self.now)
        if self.uses_features:
            self._signals(instrument, dirty)
        if self.uses_moves and valid and dirty & DIRTY_BOOK:
            self._moves(instrument, side.mid2)
        return 0

    cdef int _moves(self, int instrument, int64_t mid2) except -1:
        """Call the strategies for which the mid has moved far enough."""
        cdef Slot slot
        cdef int64_t moved
        for slot in self.slots:
            if slot.move_ticks == 0:
                continue
            if slot.move_base[instrument] == NEVER:
                slot.move_base[instrument] = mid2
            moved = mid2 - slot.move_base[instrument]
            if moved >= 2 * slot.move_ticks or -moved >= 2 * slot.move_ticks:
                slot.move_base[instrument] = mid2
                slot.view.source = instrument
                self.calls += 1
                slot.on_book(slot.view)
        return 0

    cdef int _signals(self, int instrument, uint32_t dirty) except -1:
        """Call the strategies whose signals fired; a firing without an order is counted."""
        cdef uint64_t fired = self.signals.evaluate(
            instrument, (<Features> self.features[instrument]).values, dirty, self.now)
        cdef int64_t before
        cdef int rule
        if fired == 0:
            return 0
        for rule in range(len(self.rule_slot)):
            if not fired & (<uint64_t> 1 << rule):
                continue
            slot = <Slot> self.rule_slot[rule]
            before = self.intents
            (<Slot> slot).view.signal = rule
            (<Slot> slot).view.source = instrument
            self.signals_fired += 1
            self.calls += 1
            if (<Slot> slot).on_signal is not None:
                (<Slot> slot).on_signal((<Slot> slot).view)
            if self.intents == before:
                self.signals_idle += 1
        return 0

    cdef int on_timers(self, int64_t now) except -1:
        """Bars that end at `now`, then every timer due, in the order of their creation."""
        cdef int i
        cdef int64_t due
        cdef Slot slot
        self.now = now
        if self.bar_next <= now:
            _bars_close(self, now)
        for i in range(self.timer_count):
            due = self.timers[i].next_ns
            if due > now:
                continue
            self.timers[i].next_ns = due + self.timers[i].interval_ns if self.timers[i].interval_ns else NEVER
            if self.timers[i].next_ns > self.timers_end and self.timers[i].interval_ns:
                self.timers[i].next_ns = NEVER
            slot = <Slot> self.slots[self.timers[i].slot]
            if slot.on_timer is not None and (self.ready == self.count or not slot.waits):
                self.calls += 1
                slot.on_timer(slot.view)
        self.timer_next = self.bar_next
        for i in range(self.timer_count):
            self.timer_next = min(self.timer_next, self.timers[i].next_ns)
        return 0

    cdef int on_grid(self, int64_t now) except -1:
        """One row of the equity curve."""
        cdef EquityRow* row
        cdef int i
        cdef int128 gross = 0, exposure = 0, fees = 0, spread = 0, charges = 0
        cdef int64_t value, last = self.equity_count - 1
        cdef Position* p
        if self.equity_count and self.equity[last].ts_ns + self.quiet[last] * self.quiet_step_ns == now:
            if self.quiet[last]:                        # one row a time: the last word counts
                self.quiet[last] -= 1
            else:
                self.equity_count -= 1
        if self.equity_count == self.equity_capacity:
            self._grid_room()
        for i in range(self.count):
            p = &self.ledger.positions[i]
            gross = gross + self.ledger.gross_pnl(i, self.local[i].mid2)
            fees = fees + p.fees
            charges = charges + p.charges[0] + p.charges[1]
            spread = spread + p.spread_captured
            value = self.ledger.value(i, self.local[i].mid2, p.lots)
            exposure = exposure + (value if value > 0 else -value)
            self.marks[self.equity_count * self.count + i].lots = p.lots
            self.marks[self.equity_count * self.count + i].mid2 = self.local[i].mid2 if self.local[i].has_mid else 0
        self.quiet[self.equity_count] = 0
        row = &self.equity[self.equity_count]
        row.ts_ns, row.net, row.charges = now, apex_saturate(gross - fees - charges), apex_saturate(charges)
        row.gross, row.fees = apex_saturate(gross), apex_saturate(fees)
        row.spread, row.exposure = apex_saturate(spread), apex_saturate(exposure)
        self.equity_count += 1
        self.now = max(self.now, now)
        self._roll(row.net)
        return 0

    cdef int on_quiet_grid(self, int64_t count, int64_t step_ns) except -1:
        """So many more steps of the curve after its last row, in which nothing happened."""
        self.quiet[self.equity_count - 1] = count
        self.quiet_step_ns = step_ns
        self.now = self.equity[self.equity_count - 1].ts_ns + count * step_ns
        self._roll(self.equity[self.equity_count - 1].net)
        return 0

    cdef int _grid_room(self) except -1:
        cdef int64_t room = max(1024, 2 * self.equity_capacity)
        cdef void* equity = realloc(self.equity, room * sizeof(EquityRow))
        cdef void* marks = realloc(self.marks, room * max(self.count, 1) * sizeof(MarkRow))
        cdef void* quiet = realloc(self.quiet, room * sizeof(int64_t))
        self.equity = <EquityRow*> equity if equity != NULL else self.equity
        self.marks = <MarkRow*> marks if marks != NULL else self.marks
        self.quiet = <int64_t*> quiet if quiet != NULL else self.quiet
        if equity == NULL or marks == NULL or quiet == NULL:
            raise MemoryError("no memory for the equity curve")
        self.equity_capacity = room
        return 0

    cdef int _roll(self, int64_t equity) noexcept nogil:
        """Keep the peak, and the equity with which the UTC day began: its first value that is looked at."""
        cdef int64_t day = self.now // DAY_NS
        self.equity_peak = max(self.equity_peak, equity)
        if day != self.day:
            self.equity_day_start = equity if self.day >= 0 else 0
            self.day = day
        return 0

    cdef int64_t _equity(self) noexcept nogil:
        """Net P&L of all instruments at their last mids, cash units."""
        cdef int128 total = 0
        cdef int i
        for i in range(self.count):
            total = total + self.ledger.net_pnl(i, self.local[i].mid2)
        return apex_saturate(total)

    # ---- replies -----------------------------------------------------------------------------------------------

    cdef int on_reply(self, const Event* event) except -1:
        """An own acknowledgement, rejection, end or fill reaches us."""
        cdef int64_t index = <int64_t> (event.order_id & COUNTER_MASK) - 1
        cdef OrderRow* order
        cdef Slot slot
        self.now = event.ts_local_ns
        if event.order_id == 0 and event.kind >= FILL:
            if event.kind != FILL:
                return account_event(self, event)
            index = self.local[event.instrument].liquidation - 1
        if index < 0 or index >= self.order_count:
            raise AssertionError(f"reply for the unknown order {event.order_id}")
        order = &self.orders[index]
        if order.ts_ack_ns == 0:
            order.ts_ack_ns = self.now
        if event.kind != REJECT or order.pending == PLACE:
            order.ts_done_ns = self.now
            if event.ts_exchange_ns:
                order.ts_venue_ns = event.ts_exchange_ns
        if event.kind == FILL:
            self._filled(order, event)
            slot = <Slot> self.slots[<Py_ssize_t> (order.id >> 54)]
            if self.more != NULL:
                link_event(self, index, event)
            if slot.on_fill is not None:
                self.calls += 1
                slot.on_fill(slot.view)
        elif event.kind == TRIGGERED:
            if self.more != NULL:
                self.more[index].triggered = True
        elif event.kind == ACK:
            if order.state == IN_FLIGHT:
                order.state = WORKING
            if order.pending == AMEND:
                self._amended(order, event.price_ticks, event.quantity_lots)
            order.pending = 0
        elif event.kind == REJECT:
            if order.pending == PLACE:
                order.state = DONE_REJECTED
                order.venue_reason = <uint8_t> event.aux
                self._close(order)
            elif order.pending == AMEND:
                self._amended(order, order.price_ticks, order.quantity_lots)
            order.pending = 0
        else:
            order.state = DONE_CANCELED if event.kind == CANCELED else DONE_EXPIRED
            order.venue_reason = <uint8_t> event.aux
            order.pending = 0
            self._close(order)
        if self.more != NULL and event.kind != FILL:
            link_event(self, index, event)
        return 0

    cdef void _open(self, OrderRow* order, int64_t lots) noexcept nogil:
        """Count lots of an active order as open; negative: no longer."""
        if order.slot >= 0:
            if order.side == BUY:
                self.local[order.instrument].open_buy_lots = self.local[order.instrument].open_buy_lots + lots
            else:
                self.local[order.instrument].open_sell_lots = self.local[order.instrument].open_sell_lots + lots

    cdef void _amended(self, OrderRow* order, int64_t price, int64_t lots) noexcept nogil:
        """An amendment is answered: the order has this price and quantity."""
        self._open(order, lots - order.quantity_lots - order.pending_lots)
        order.price_ticks, order.quantity_lots = price, lots
        order.pending_ticks = order.pending_lots = 0

    cdef int _filled(self, OrderRow* order, const Event* event) except -1:
        cdef LocalSide* side = &self.local[order.instrument]
        cdef bint maker = (event.flags & MAKER) != 0
        cdef int128 cost = apex_mul2(event.price_ticks, event.quantity_lots) + order.cost
        cdef FillRow* fill
        if not apex_fits(cost):
            raise OverflowError(f"the fills of order {order.id} overflow its sum of ticks times lots")
        if self.fill_count == self.fill_capacity:
            self.fill_capacity = max(1024, 2 * self.fill_capacity)
            fill = <FillRow*> realloc(self.fills, self.fill_capacity * sizeof(FillRow))
            if fill == NULL:
                raise MemoryError("no memory for the fills")
            self.fills = fill
        fill = &self.fills[self.fill_count]
        memset(fill, 0, sizeof(FillRow))
        if self.fees is not None:
            fees_before(self, order.instrument, event.ts_exchange_ns)
        fill.fee = self.ledger.fill(order.instrument, order.side, event.price_ticks, event.quantity_lots, maker,
                                    side.mid2, side.has_mid)
        if self.fees is not None or order.type == LIQUIDATE or (self.visible and not maker):
            fill_more(self, order, event)
        fill.ts_venue_ns, fill.ts_local_ns = event.ts_exchange_ns, event.ts_local_ns
        fill.id, fill.trade_id = order.id, event.sequence
        fill.price_ticks, fill.quantity_lots = event.price_ticks, event.quantity_lots
        fill.mid2, fill.has_mid = side.mid2, side.has_mid
        fill.instrument, fill.side, fill.maker = order.instrument, order.side, maker
        fill.optimistic = (event.flags & OPTIMISTIC) != 0
        fill.row = self.rows
        self.last_fill = self.fill_count
        self.fill_count += 1
        order.filled_lots += event.quantity_lots
        order.fills += 1
        order.last_lots, order.last_ticks = event.quantity_lots, event.price_ticks
        order.cost = <int64_t> cost
        order.fee += fill.fee
        self._open(order, -event.quantity_lots)
        if order.pending == PLACE:
            order.pending = 0
        if order.filled_lots >= order.quantity_lots or event.aux >= order.quantity_lots:
            order.state = DONE_FILLED
            self._close(order)
        elif order.state == IN_FLIGHT:
            order.state = WORKING
        return 0

    cdef int _close(self, OrderRow* order) except -1:
        """Take an order off its instrument's active list."""
        cdef LocalSide* side = &self.local[order.instrument]
        cdef int32_t last
        if order.slot < 0:
            return 0
        self._open(order, -(order.quantity_lots - order.filled_lots + order.pending_lots))
        order.pending_ticks = order.pending_lots = 0
        side.active_count -= 1
        last = side.active[side.active_count]
        side.active[order.slot] = last
        self.orders[last].slot = order.slot
        order.slot = -1
        return 0

    # ---- commands out ------------------------------------------------------------------------------------------

    cdef OrderRow* _new_row(self) except NULL:
        cdef OrderRow* grown
        if self.order_count == self.order_capacity:
            self.order_capacity = max(1024, 2 * self.order_capacity)
            grown = <OrderRow*> realloc(self.orders, self.order_capacity * sizeof(OrderRow))
            if grown == NULL:
                raise MemoryError("no memory for the orders")
            self.orders = grown
        memset(&self.orders[self.order_count], 0, sizeof(OrderRow))
        if self.more != NULL:
            more_next(self)
        self.order_count += 1
        return &self.orders[self.order_count - 1]

    cdef int _facts(self, int instrument, RiskFacts* facts) except -1:
        """What the gate may know, all of it from events."""
        cdef LocalSide* side = &self.local[instrument]
        cdef LocalSide* other
        cdef OrderRow* order
        cdef int64_t value, equity = self._equity()
        cdef int128 gross = 0
        cdef int i
        memset(facts, 0, sizeof(RiskFacts))
        facts.now_ns = self.now
        facts.bid_ticks, facts.ask_ticks = side.book.bid.best, side.book.ask.best
        facts.book_synced, facts.book_ts_ns = side.synced, side.book_ts_ns
        facts.touch_bid_lots = book_quantity(side.book, BUY, facts.bid_ticks)
        facts.touch_ask_lots = book_quantity(side.book, SELL, facts.ask_ticks)
        facts.position_lots = self.ledger.positions[instrument].lots
        facts.open_buy_lots, facts.open_sell_lots = side.open_buy_lots, side.open_sell_lots
        facts.open_orders = side.active_count
        facts.own_best_bid_ticks, facts.own_best_ask_ticks = NO_BID, NO_ASK
        for i in range(side.active_count):
            order = &self.orders[side.active[i]]
            if order.type != LIMIT and not (
                    order.type == STOP_LIMIT and self.more != NULL and self.more[side.active[i]].triggered):
                continue
            # An amendment in flight: the order may already stand at either price.
            if order.side == BUY:
                facts.own_best_bid_ticks = max(facts.own_best_bid_ticks, max(order.price_ticks, order.pending_ticks))
            else:
                facts.own_best_ask_ticks = min(facts.own_best_ask_ticks, order.price_ticks)
                if order.pending_ticks:
                    facts.own_best_ask_ticks = min(facts.own_best_ask_ticks, order.pending_ticks)
        for i in range(self.count):
            other = &self.local[i]
            value = self.ledger.value(i, other.mid2, self.ledger.positions[i].lots)
            gross = gross + (value if value > 0 else -value)
            gross = gross + self.ledger.value(i, other.mid2, other.open_buy_lots)
            gross = gross + self.ledger.value(i, other.mid2, other.open_sell_lots)
        facts.gross_notional = apex_saturate(gross)
        self._roll(equity)
        facts.equity_now, facts.equity_peak = equity, self.equity_peak
        facts.equity_day_start = self.equity_day_start
        facts.facts_known = side.has_mid
        return 0

    cdef int64_t submit(self, Slot slot, OrderCommand* command) except -1:
        """Pass a new order through the gate; its id, or 0 when it was denied (the row says why)."""
        cdef RiskFacts facts
        cdef OrderRow* order
        cdef DenyReason reason
        if command.instrument >= <uint32_t> self.count:
            raise IndexError(f"instrument {command.instrument} is not in this run: it has {self.count}")
        self.intents += 1
        order = self._new_row()
        command.ts_local_ns = self.now
        command.order_id = (<uint64_t> slot.index << 54) | <uint64_t> self.order_count
        command.row = <uint64_t> self.rows
        command.strategy = <uint64_t> slot.index
        command.kind = PLACE
        order.ts_sent_ns = order.ts_done_ns = self.now
        order.id = command.order_id
        order.price_ticks, order.quantity_lots = command.price_ticks, command.quantity_lots
        order.instrument, order.side, order.type, order.tif = (
            command.instrument, command.side, command.type, command.tif)
        order.slot = -1
        if command.flags or command.extra:
            more_of(self, self.order_count - 1, command)
        self._facts(command.instrument, &facts)
        reason = self.gate.submit(command, &facts)
        order.deny_reason = <uint16_t> reason
        self.sent += 1
        if reason != ALLOWED:
            order.state = DONE_DENIED
            self.denied += 1
            return 0
        order.state = IN_FLIGHT
        order.pending = PLACE
        self._activate(self.order_count - 1)
        self._open(order, order.quantity_lots)
        return <int64_t> order.id

    cdef int _activate(self, int64_t index) except -1:
        """Put an order on its instrument's active list."""
        cdef LocalSide* side = &self.local[self.orders[index].instrument]
        cdef int32_t* grown
        if side.active_count == side.active_capacity:
            grown = <int32_t*> realloc(side.active, 2 * side.active_capacity * sizeof(int32_t))
            if grown == NULL:
                raise MemoryError("no memory for the working orders")
            side.active = grown
            side.active_capacity *= 2
        self.orders[index].slot = side.active_count
        side.active[side.active_count] = <int32_t> index
        side.active_count += 1
        return 0

    cdef int64_t request(self, Slot slot, int64_t index, int kind, int64_t price, int64_t lots) except -1:
        """Cancel or amend a working order with nothing pending; 1 when it was sent."""
        cdef OrderRow* order = &self.orders[index]
        cdef OrderCommand command
        cdef RiskFacts facts
        if order.state != WORKING or order.pending:
            return 0
        memset(&command, 0, sizeof(OrderCommand))
        command.ts_local_ns, command.order_id = self.now, order.id
        command.price_ticks = price if kind == AMEND else order.price_ticks
        command.quantity_lots = lots if kind == AMEND else order.quantity_lots
        command.row, command.strategy = <uint64_t> self.rows, <uint64_t> slot.index
        command.instrument, command.kind, command.side = order.instrument, kind, order.side
        command.type, command.tif = order.type, order.tif
        if self.more != NULL:
            command.flags, command.extra = self.more[index].flags, self.more[index].extra
            if order.type == STOP_LIMIT and self.more[index].triggered:     # a limit order by now
                command.type, command.extra = LIMIT, 0
            if kind == CANCEL:
                link_drop(self, index)
                order = &self.orders[index]
        self._facts(order.instrument, &facts)
        facts.amended_lots = order.quantity_lots if kind == AMEND else 0
        if self.gate.submit(&command, &facts) != ALLOWED:
            return 0
        order.pending = kind
        if kind == AMEND:
            order.pending_ticks = price
            order.pending_lots = max(lots - order.quantity_lots, 0)
            self._open(order, order.pending_lots)
        self.sent += 1
        return 1

    # ---- the run's frame ---------------------------------------------------------------------------------------

    def add_strategy(self, Strategy strategy not None):
        """Put a strategy into the engine; its index is part of its orders' ids."""
        slot = Slot(strategy, len(self.slots))
        slot.view = View(self, slot)
        self.slots.append(slot)
        self.uses_rows = self.uses_rows or (<Slot> slot).wants_rows
        return slot.view

    def start(self, int64_t now):
        """Begin the run at `now`: every strategy's on_start."""
        self.now = now
        for slot in self.slots:
            (<Slot> slot).strategy.on_start((<Slot> slot).view)

    def stop(self):
        """End the run: every strategy's on_stop."""
        for slot in self.slots:
            (<Slot> slot).strategy.on_stop((<Slot> slot).view)

    def tables(self, bint copy=True):
        """Orders, fills, equity and marks as structured arrays; see engine.pyi."""
        equity = _table(EQUITY_DTYPE, self.equity, self.equity_count, copy)
        marks = _table(MARK_DTYPE, self.marks, self.equity_count * self.count, copy)
        marks = marks.reshape(self.equity_count, self.count)
        again = 1 + _table(np.dtype(np.int64), self.quiet, self.equity_count, False)
        if (again > 1).any():
            step = np.arange(again.sum()) - np.repeat(np.cumsum(again) - again, again)
            equity, marks = np.repeat(equity, again), np.repeat(marks, again, axis=0)
            equity["ts_ns"] += step * self.quiet_step_ns
        return (_table(ORDER_DTYPE, self.orders, self.order_count, copy),
                _table(FILL_DTYPE, self.fills, self.fill_count, copy), equity, marks)

    def _check(self):
        """Walk every invariant of the working orders; see engine.pyi."""
        cdef LocalSide* side
        cdef OrderRow* order
        cdef int64_t buy, sell, left
        cdef int i, k
        for i in range(self.count):
            side = &self.local[i]
            buy = sell = 0
            for k in range(side.active_count):
                order = &self.orders[side.active[k]]
                left = order.quantity_lots - order.filled_lots + order.pending_lots
                buy += left if order.side == BUY else 0
                sell += left if order.side != BUY else 0
                assert order.slot == k and order.instrument == <uint32_t> i, ("place of a working order", order.id, k)
                assert order.state == IN_FLIGHT or order.state == WORKING, ("a done order is active", order.id)
                assert (order.state == IN_FLIGHT) == (order.pending == PLACE), ("in flight, or acknowledged", order.id)
                assert order.filled_lots < order.quantity_lots, ("filled, and active", order.id)
                assert order.pending == AMEND or order.pending_lots == order.pending_ticks == 0, ("amended", order.id)
            assert (buy, sell) == (side.open_buy_lots, side.open_sell_lots), ("open lots", i, buy, sell)
            assert side.active_count <= side.active_capacity and (side.has_mid or side.mid2 == 0)
        self.ledger._check()

    def mid2(self, int instrument):
        """Last valid bid + ask of the local book in ticks, None before the first."""
        return self.local[instrument].mid2 if self.local[instrument].has_mid else None


include "bars.pxi"
include "accounts.pxi"
include "links.pxi"
include "view.pxi"
