"""The simulated venue: matching of our orders against a replayed book that they do not change.

Two sets of rules. `compat` follows hftbacktest 2.4.4 fill for fill, its known defects included, with queue state in
double and raw quantities. `strict`, the default, shares each trade among our orders in time priority, consumes the
levels that our takers sweep until the venue updates them, and counts every fill by its increment.
"""

from libc.math cimport fmax, fmin, isinf, log, pow, round
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memmove, memset
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from apex._core.book cimport (
    NO_ASK, NO_BID, apex_unlikely, book_ask_ahead, book_clear, book_clear_to, book_end_message, book_free, book_new,
    book_next, book_quantity, book_set, book_set_levels,
)
from apex._core.events cimport (
    ACK, AMEND, AT_LOCAL, BOOK_CLEAR, BOOK_LEVEL, BUY, BY_MARK, CANCEL, CANCELED, CLEAR_TO, EXPIRED, FILL, FOK, FUNDING, GTX, HALT,
    IOC, KEEPS_BOOK, LAST_IN_BATCH, LEVELS, LIMIT, LINK_DOWN, LINK_GAP, LIQUIDATION, MAKER, MARK, MARKET, NO_SIDE, NOT_MARKET, OPTIMISTIC,
    ORDER_ADD, ORDER_EXECUTE, ORDER_MODIFY, PLACE, REDUCE_ONLY, REJECT, ROWS, SELL, SNAPSHOT, SNAPSHOT_BEGIN, STOP,
    STOP_LIMIT, TRADE, TRAILING, TRIGGERED,
)
from apex._core.ledger cimport FUNDING_CHARGE, LIQUIDATION_CHARGE
from apex._core.l3 cimport NO_ORDER, L3Change, l3_apply, l3_clear, l3_clear_to, l3_find, l3_free, l3_new

cdef enum:
    ORDERS_MAX = 4096        # resting orders of ours
    STOPS_MAX = 1024
    ACKNOWLEDGED = 128       # flag of a VenueOrder
    REQUESTS_MAX = 8192      # in flight, a power of two
    MARKET_TICKS_COMPAT = 100

cdef int64_t NEVER = 9223372036854775807

QUEUES = {
    "risk-averse": RISK_AVERSE, "power-prob": POWER_PROB, "power-prob2": POWER_PROB2, "power-prob3": POWER_PROB3,
    "log-prob": LOG_PROB, "log-prob2": LOG_PROB2, "fifo": FIFO,
}
VENUE_REASONS = {
    VENUE_OK: "", POST_ONLY_WOULD_CROSS: "post_only_would_cross", NO_LIQUIDITY: "no_liquidity",
    UNKNOWN_ORDER: "unknown_order", REJECTED_BEFORE_VENUE: "rejected_before_venue",
    VENUE_UNSYNCED: "venue_unsynced", VENUE_FULL: "venue_full", CANCELED_BY_US: "canceled", CLEARED: "cleared",
    STOP_REACHED: "stop_reached", NOTHING_TO_REDUCE: "nothing_to_reduce", NOT_IN_COMPAT: "not_in_compat",
    NO_MARK_PRICE: "no_mark_price", VENUE_HALTED: "venue_halted", LIQUIDATED: "liquidated",
}


include "latency.pxi"


cdef inline double _behind(int kind, double n, double front, double back) noexcept nogil:
    """Probability that a decrease of the level happened behind us, by hftbacktest's models of the queue."""
    cdef double f
    if kind == POWER_PROB:
        f = pow(back, n)
        return f / (f + pow(front, n))
    if kind == POWER_PROB2:
        return pow(back, n) / pow(back + front, n)
    if kind == POWER_PROB3:
        return 1.0 - pow(front / (front + back), n)
    if kind == LOG_PROB:
        f = log(1.0 + back)
        return f / (f + log(1.0 + front))
    return log(1.0 + back) / log(1.0 + (back + front))


cdef class SimVenue:
    def __cinit__(self):
        self.book = book_new()
        self.orders = <VenueOrder*> calloc(ORDERS_MAX, sizeof(VenueOrder))
        self.stops = <VenueOrder*> calloc(STOPS_MAX, sizeof(VenueOrder))
        self.requests = <Request*> calloc(REQUESTS_MAX, sizeof(Request))
        self.held = <OrderCommand*> calloc(REQUESTS_MAX, sizeof(OrderCommand))
        self.response_capacity = 1024
        self.responses = <Response*> calloc(self.response_capacity, sizeof(Response))
        self.used_capacity = 64
        self.used_tick = <int64_t*> calloc(self.used_capacity, sizeof(int64_t))
        self.used_lots = <int64_t*> calloc(self.used_capacity, sizeof(int64_t))
        self.used_side = <uint8_t*> calloc(self.used_capacity, 1)
        if not (self.book and self.orders and self.stops and self.held and self.requests and self.responses and self.used_tick
                and self.used_lots and self.used_side):
            raise MemoryError("no memory for a simulated venue")
        memset(&self.latency, 0, sizeof(Latency))
        self._range()

    def __dealloc__(self):
        l3_free(self.l3)
        if self.book:
            book_free(self.book)
        free(self.orders)
        free(self.stops)
        free(self.fundings)
        free(self.halts)
        free(self.held)
        free(self.requests)
        free(self.responses)
        free(self.used_tick)
        free(self.used_lots)
        free(self.used_side)
        free(self.latency.requested)
        free(self.latency.received)
        free(self.latency.responded)

    def __init__(self, int instrument, lot, queue="risk-averse", double power=1.0, compat=False, partial=True,
                 synced=False, latency=(0, 0, 0, 0), rows=None, *, funding=None,
                 halts=(), queue_orders=False, Impact impact=None, visible=False, MarginAccount account=None):
        """See SimVenue in simvenue.pyi."""
        self.instrument = instrument
        mantissa, scale = lot
        self.lot_num, self.lot_den = float(mantissa), 10.0 ** scale
        self.lot_size = self.lot_num / self.lot_den
        self.queue = QUEUES[queue]
        self.timer_next = self.funding_at = NEVER
        self.funds = funding is not None
        self.impact, self.visible, self.account, self.queues_orders = impact, visible, account, queue_orders
        if funding:
            given_fundings(self, funding)
        if halts:
            given_halts(self, halts)
        self.power = power
        self.compat, self.partial, self.synced = compat, partial, synced
        self.latency.place, self.latency.cancel, self.latency.amend, self.latency.response = latency
        cdef int64_t i
        if rows is not None:
            self.latency.rows = len(rows)
            self.latency.requested = <int64_t*> malloc(8 * len(rows))
            self.latency.received = <int64_t*> malloc(8 * len(rows))
            self.latency.responded = <int64_t*> malloc(8 * len(rows))
            for i in range(len(rows)):
                self.latency.requested[i] = rows[i][0]
                self.latency.received[i] = rows[i][1]
                self.latency.responded[i] = rows[i][2]

    def watch(self, MarginAccount account not None):
        """Watch the margin of an account; see simvenue.pyi."""
        self.account = account

    cdef inline double _raw(self, int64_t lots) noexcept nogil:
        """Raw quantity of lots: the double nearest to the decimal, as a converter of decimals gives it."""
        return (<double> lots) * self.lot_num / self.lot_den

    # ---- market data -------------------------------------------------------------------------------------------

    cdef void on_batch(self, const Batch* batch, const Level* levels, const Event* rows) noexcept nogil:
        """Apply one message of the venue's view; `levels` or `rows` is the section its `first` points into."""
        cdef uint32_t i
        cdef const Level* level
        cdef const Event* row
        cdef int64_t ts = batch.ts_exchange_ns
        if batch.kind == BOOK_LEVEL:
            if not self.synced:
                return
            if batch.encoding == LEVELS:
                level = levels + batch.first
                if (self.order_count == 0 and self.used_count == 0) or self.halted:
                    if self.compat:
                        book_set_levels(self.book, level, batch.count, True)
                    else:
                        book_set_levels(self.book, level, batch.count, False)
                elif self.compat:
                    self._levels(ts, level, batch.count, True)
                else:
                    self._levels(ts, level, batch.count, False)
            else:
                for i in range(batch.count):
                    row = rows + batch.first + i
                    if self.halted:
                        book_set(self.book, row.side, row.price_ticks, row.quantity_lots, False)
                    else:
                        self._level(ts, row.side, row.price_ticks, row.quantity_lots)
            book_end_message(self.book)
        elif batch.kind == TRADE:
            if self.stop_count and not batch.flags & NOT_MARKET:
                venue_trades_and_stops(self, batch, levels, rows)
                return
            if self.order_count == 0 or self.halted or (batch.flags & NOT_MARKET and not self.compat) or self.queue == FIFO:
                return
            for i in range(batch.count):
                if batch.encoding == LEVELS:
                    level = levels + batch.first + i
                    self._trade(ts, level.side, level.price_ticks, level.quantity_lots)
                else:
                    row = rows + batch.first + i
                    self._trade(ts, row.side, row.price_ticks, row.quantity_lots)
        elif ORDER_ADD <= batch.kind <= ORDER_EXECUTE:
            if self.synced and batch.encoding == ROWS:
                venue_orders(self, ts, rows + batch.first, batch.count)
        elif batch.kind == BOOK_CLEAR:
            for i in range(batch.count):
                if batch.encoding == LEVELS:
                    level = levels + batch.first + i
                    self._clear(ts, level.side, level.price_ticks, batch.flags & CLEAR_TO, True)
                else:
                    row = rows + batch.first + i
                    self._clear(ts, row.side, row.price_ticks, batch.flags & CLEAR_TO, True)
            book_end_message(self.book)
        elif batch.kind == SNAPSHOT_BEGIN:
            self._clear(ts, 0, 0, False, self.compat)
            self.synced = True
        elif batch.kind == LINK_GAP or batch.kind == LINK_DOWN:
            self.synced = False
        elif batch.kind == MARK:
            venue_mark(self, batch, levels, rows)
        elif batch.kind == HALT and not self.compat:
            venue_halt(self, ts, batch.encoding == ROWS and rows[batch.first].aux != 0)

    cdef void _clear(self, int64_t ts, int side, int64_t ticks, bint to, bint ends) noexcept nogil:
        """Clear a side, or both, `to` a price or whole; `ends`: orders that stand in the venue's own queues go with it."""
        cdef int32_t i = 0
        if self.queue == FIFO and self.compat:
            to = False                               # as hftbacktest does
        if self.l3 == NULL:
            if to:
                book_clear_to(self.book, side, ticks, self.compat)
            else:
                book_clear(self.book, side)
        elif to:
            l3_clear_to(self.l3, side, ticks)
        else:
            l3_clear(self.l3, side)
        if self.queue == FIFO and ends and not to:
            fifo_expire(self, ts, side)
        while i < self.used_count:
            if (side == self.used_side[i] or (side == NO_SIDE and not to)) and (not to or (
                    self.used_tick[i] >= ticks if side == BUY else self.used_tick[i] <= ticks)):
                self._forget(self.used_side[i], self.used_tick[i])
            else:
                i += 1

    cdef inline void _levels(self, int64_t ts, const Level* levels, uint64_t count, bint compat) noexcept nogil:
        """The levels of one message; those that no order of ours can feel go straight into the book.

        An order feels a level at its price, and one of the other side at or through it: in strict as long as there is
        such a best, since what the levels still hold may fill it again.
        """
        cdef uint64_t i
        cdef int64_t ticks, reach
        cdef bint felt
        cdef BookData* book = self.book
        for i in range(count):
            book_ask_ahead(book, levels, i, count)
            ticks = levels[i].price_ticks
            if levels[i].side == BUY:
                reach = ticks if compat or ticks > book.bid.best else book.bid.best
                felt = reach >= self.sell_low or self.buy_low <= ticks <= self.buy_high
            else:
                reach = ticks if compat or ticks < book.ask.best else book.ask.best
                felt = reach <= self.buy_high or self.sell_low <= ticks <= self.sell_high
            if apex_unlikely(felt or self.used_count != 0):
                self._level(ts, levels[i].side, ticks, levels[i].quantity_lots)
            else:
                book_set(book, levels[i].side, ticks, levels[i].quantity_lots, compat)

    cdef void _level(self, int64_t ts, int side, int64_t ticks, int64_t lots) noexcept nogil:
        """One level of the venue's book, with our resting orders looking on."""
        cdef int64_t best = self.book.bid.best if side == BUY else self.book.ask.best
        cdef bint own
        cdef int64_t before = 0
        if side == BUY:
            own = self.buy_low <= ticks <= self.buy_high
        else:
            own = self.sell_low <= ticks <= self.sell_high
        if own:
            before = book_quantity(self.book, side, ticks)
        if self.compat:
            book_set(self.book, side, ticks, lots, True)
        else:
            book_set(self.book, side, ticks, lots, False)
            if self.used_count:
                self._forget(side, ticks)
        if own:
            self._depth(side, ticks, self._raw(before), self._raw(lots))
        if not self.compat:
            if lots > 0 and (
                    self.sell_low <= self.book.bid.best if side == BUY else self.buy_high >= self.book.ask.best):
                strict_crossed(self, ts, side)
        elif side == BUY:
            if self.sell_low <= self.book.bid.best and self.book.bid.best > best:
                self._crossed(ts, side, best)
        elif self.buy_high >= self.book.ask.best and self.book.ask.best < best:
            self._crossed(ts, side, best)

    cdef void _depth(self, int side, int64_t ticks, double before, double after) noexcept nogil:
        """Queue positions after the quantity at our price changed: a decrease is shared by `_behind`."""
        cdef int32_t i
        cdef VenueOrder* order
        cdef double change, front, back, p
        for i in range(self.order_count):
            order = &self.orders[i]
            if order.price_ticks != ticks or order.side != side:
                continue
            order.careful = fmin(order.careful, after)
            if self.queue == RISK_AVERSE:
                order.front = fmin(order.front, after)
                continue
            change = before - after
            change -= order.traded
            order.traded = 0.0
            if change < 0.0:
                order.front = fmin(order.front, after)
                continue
            front = order.front
            back = before - front
            p = _behind(self.queue, self.power, front, back)
            if isinf(p):
                p = 1.0
            order.front = fmin(front - (1.0 - p) * change + fmin(back - p * change, 0.0), after)

    cdef inline int64_t _reach(self, int side, int64_t best, int64_t ticks) noexcept nogil:
        """Compat: the tick up to which own orders are looked at when a side's best, or a trade, gets to `ticks`.

        hftbacktest looks only at ticks beyond the side's best, unless it has fewer orders than there are such ticks:
        then at all of them. The two differ for orders that a clear left on the wrong side of the best. Its fifo model
        counts one tick less.
        """
        cdef int64_t count = self.order_count + (self.queue == FIFO)
        if side == BUY:
            return NO_BID if best == NO_BID or count < ticks - best else best
        return NO_ASK if best == NO_ASK or count < best - ticks else best

    cdef void _crossed(self, int64_t ts, int side, int64_t before) noexcept nogil:
        """Compat: the opposite best has come from `before` to our orders: they fill."""
        cdef int32_t i = 0
        cdef VenueOrder* order
        cdef int64_t best = self.book.bid.best if side == BUY else self.book.ask.best
        cdef int64_t reach = self._reach(side, before, best)
        while i < self.order_count:
            order = &self.orders[i]
            if order.side == side or (not reach < order.price_ticks <= best if side == BUY
                                      else not best <= order.price_ticks < reach):
                i += 1
                continue
            if order.done:
                self.rejected_by_defect = self.rejected_by_defect + 1
            else:
                self._fill(ts, order, True, order.price_ticks, order.leaves, False)
            self._remove(i)

    cdef void _trade(self, int64_t ts, int side, int64_t ticks, int64_t lots) noexcept nogil:
        """A market trade: fills orders it went through, and moves the queue at its price."""
        cdef int32_t i = 0
        cdef VenueOrder* order
        cdef double quantity = self._raw(lots)
        cdef int64_t reach
        cdef bint gone
        if side == BUY:
            if self.sell_low > ticks:
                return
        elif side != SELL or self.buy_high < ticks:
            return
        if not self.compat:
            strict_trade(self, ts, side, ticks, lots)
            return
        reach = self._reach(side, self.book.bid.best if side == BUY else self.book.ask.best, ticks)
        while i < self.order_count:
            order = &self.orders[i]
            gone = False
            if order.side != side and (order.price_ticks > reach if side == BUY else order.price_ticks < reach):
                if order.price_ticks == ticks:
                    gone = self._at_price(ts, order, quantity)
                elif order.price_ticks < ticks if side == BUY else order.price_ticks > ticks:
                    if order.done:
                        self.rejected_by_defect = self.rejected_by_defect + 1
                        gone = True
                    else:
                        self._fill(ts, order, True, order.price_ticks, order.leaves, False)
                        gone = True
            if gone:
                self._remove(i)
            else:
                i += 1

    cdef int64_t _pass(self, VenueOrder* order, double quantity, int64_t* sure) noexcept nogil:
        """Move an order's queue by a trade at its price; lots of it that get past the queue, 0 for none.

        sure: the same by the most careful model.
        """
        cdef int64_t count
        order.careful -= quantity
        sure[0] = max(<int64_t> round(-order.careful / self.lot_size), 0)
        if sure[0] > 0:
            order.careful = 0.0
        if self.queue != RISK_AVERSE:
            order.traded += quantity
        order.front -= quantity
        count = <int64_t> round(-order.front / self.lot_size)
        if count <= 0:
            return 0
        order.front = 0.0
        return count

    cdef bint _at_price(self, int64_t ts, VenueOrder* order, double quantity) noexcept nogil:
        """Compat: a trade at our price; returns whether the order is gone."""
        cdef double executable
        cdef int64_t sure = 0, count = self._pass(order, quantity, &sure)
        cdef bint careful = sure > 0
        if count == 0:
            return False
        if order.done:
            self.rejected_by_defect = self.rejected_by_defect + 1
            return True
        if not self.partial:
            self._fill(ts, order, True, order.price_ticks, order.leaves, not careful)
            return True
        executable = (<double> count) * self.lot_size
        if executable > order.leaves:
            self._fill(ts, order, True, order.price_ticks, order.leaves, not careful)
            return True
        self._fill(ts, order, True, order.price_ticks, executable, not careful)
        return False

    # ---- our requests ------------------------------------------------------------------------------------------

    cdef int deliver(self, const OrderCommand* command) noexcept nogil:
        """Take a command of this instrument, or pass it on: without the GIL no list can be indexed."""
        if command.instrument == <uint32_t> self.instrument:
            return 2 if self.enqueue(command) else 0
        return 1 if self.following is None else self.following.deliver(command)

    cdef int enqueue(self, const OrderCommand* command) noexcept nogil:
        """Send a command on its way; 0, or 1 when too many are in flight."""
        cdef int64_t latency, ts, last
        cdef Event event
        if self.request_tail - self.request_head >= REQUESTS_MAX:
            return 1
        if self.latency.rows > 0:
            latency = _entry(&self.latency, command.ts_local_ns, self.compat)
        elif command.kind == CANCEL:
            latency = self.latency.cancel
        elif command.kind == AMEND:
            latency = self.latency.amend
        else:
            latency = self.latency.place
        if latency < 0:
            memset(&event, 0, sizeof(Event))
            event.order_id = command.order_id
            event.instrument = command.instrument
            event.kind = REJECT
            event.side = command.side
            event.flags = AT_LOCAL | LAST_IN_BATCH
            event.aux = REJECTED_BEFORE_VENUE
            event.price_ticks = command.price_ticks
            event.sequence = command.kind
            self._push(command.ts_local_ns - latency, &event)
            return 0
        ts = command.ts_local_ns + latency
        if self.request_tail > self.request_head:
            last = self.requests[(self.request_tail - 1) & (REQUESTS_MAX - 1)].ts
            ts = max(ts, last)
        self.requests[self.request_tail & (REQUESTS_MAX - 1)].ts = ts
        self.requests[self.request_tail & (REQUESTS_MAX - 1)].command = command[0]
        self.request_tail = self.request_tail + 1
        return 0

    cdef void on_requests(self, int64_t ts) noexcept nogil:
        """Process every request that arrives at exactly `ts`."""
        cdef const OrderCommand* command
        cdef Request* request
        if self.timer_next <= ts:
            venue_timers(self, ts)
        while self.request_head < self.request_tail:
            request = &self.requests[self.request_head & (REQUESTS_MAX - 1)]
            if request.ts != ts:
                return
            self.request_head = self.request_head + 1
            command = &request.command
            if apex_unlikely(self.halted) and command.kind != CANCEL:
                halt_request(self, ts, command)
            elif command.kind == PLACE:
                self._place(ts, command)
            elif command.kind == CANCEL:
                self._cancel(ts, command)
            else:
                self._amend(ts, command)
            if self.tidies:
                special_tidy(self, ts)
            if self.account is not None:
                margin_check(self, ts)

    cdef void _place(self, int64_t ts, const OrderCommand* command) noexcept nogil:
        cdef VenueOrder order
        memset(&order, 0, sizeof(VenueOrder))
        order.id = command.order_id
        order.price_ticks = command.price_ticks
        order.lots = order.leaves_lots = command.quantity_lots
        order.leaves = self._raw(command.quantity_lots)
        order.side, order.tif, order.type = command.side, command.tif, command.type
        order.flags, order.extra = <uint8_t> command.flags, command.extra
        if self.account is not None and self.account.closed:
            self._respond(ts, &order, REJECT, LIQUIDATED)
        elif apex_unlikely(command.type > MARKET or command.flags or command.extra):
            special_place(self, ts, &order)
        else:
            self._place_order(ts, &order, command.type)

    cdef void _close_out(self, int64_t ts) noexcept nogil:
        """The account is liquidated: this instrument's orders and position, then those of the ones behind it."""
        venue_liquidate(self, ts)
        if self.following is not None:
            self.following._close_out(ts)

    cdef void _place_order(self, int64_t ts, VenueOrder* order, int type) noexcept nogil:
        cdef int64_t opposite = self.book.ask.best if order.side == BUY else self.book.bid.best
        cdef bint crosses = type == MARKET
        if not self.compat:
            strict_place(self, ts, order, type)
            return
        if type == LIMIT:
            crosses = order.price_ticks >= opposite if order.side == BUY else order.price_ticks <= opposite
        elif opposite == (NO_ASK if order.side == BUY else NO_BID):
            self._respond(ts, order, EXPIRED, NO_LIQUIDITY)
            return
        if not crosses:
            if order.tif == IOC or order.tif == FOK:
                self._respond(ts, order, EXPIRED, NO_LIQUIDITY)
            else:
                self._rest(ts, order)
        elif type == LIMIT and order.tif == GTX:
            self._respond(ts, order, EXPIRED, POST_ONLY_WOULD_CROSS)
        elif self.partial:
            self._take_compat(ts, order, type)
        else:
            self._take_whole(ts, order, type)

    cdef void _rest(self, int64_t ts, VenueOrder* order) noexcept nogil:
        """Compat: behind all orders that came before."""
        if self.order_count >= ORDERS_MAX:
            self._respond(ts, order, REJECT, VENUE_FULL)
            return
        order.front = order.careful = self._raw(book_quantity(self.book, order.side, order.price_ticks))
        order.traded = 0.0
        order.entered = self.l3.entered if self.l3 != NULL else 0
        self.orders[self.order_count] = order[0]
        self.order_count = self.order_count + 1
        self._range()
        self._respond(ts, order, ACK, VENUE_OK)

    cdef void _take_whole(self, int64_t ts, VenueOrder* order, int type) noexcept nogil:
        """Compat without partial fills: the whole quantity at the best opposite price, whatever its size."""
        cdef int opposite = SELL if order.side == BUY else BUY
        cdef int64_t best = self.book.ask.best if order.side == BUY else self.book.bid.best
        self._fill(ts, order, False, best, order.leaves, book_quantity(self.book, opposite, best) < order.lots)

    cdef void _take_compat(self, int64_t ts, VenueOrder* order, int type) noexcept nogil:
        """Compat with partial fills: levels from the best to the limit, which are not depleted.

        What a GTC order does not find fills at its limit; a buy comes to its limit's own level only so.
        """
        cdef int opposite = SELL if order.side == BUY else BUY
        cdef int64_t best = self.book.ask.best if order.side == BUY else self.book.bid.best
        cdef int64_t step = 1 if order.side == BUY else -1
        cdef int64_t end = order.price_ticks + step, tick
        cdef double quantity, total = 0.0
        cdef bint enough = False
        if type == MARKET:
            end = best + MARKET_TICKS_COMPAT if order.side == BUY else best - MARKET_TICKS_COMPAT - 1
        elif order.tif == FOK:
            tick = best
            while (tick < end if step > 0 else tick > end) and tick != NO_ASK and tick != NO_BID:
                total += self._raw(book_quantity(self.book, opposite, tick))
                if round(total / self.lot_size) >= round(self._raw(order.lots) / self.lot_size):
                    enough = True
                    break
                tick = book_next(self.book, opposite, tick)
            if not enough:
                self._respond(ts, order, EXPIRED, NO_LIQUIDITY)
                return
        elif order.tif != IOC and order.side == BUY:
            end = order.price_ticks
        tick = best
        while (tick < end if step > 0 else tick > end) and tick != NO_ASK and tick != NO_BID:
            quantity = self._raw(book_quantity(self.book, opposite, tick))
            if quantity > 0.0 and self._fill(ts, order, False, tick, fmin(quantity, order.leaves), False):
                return
            tick = book_next(self.book, opposite, tick)
        if type == MARKET or order.tif == IOC or order.tif == FOK:
            self._respond(ts, order, EXPIRED, NO_LIQUIDITY)
        else:
            self._fill(ts, order, False, order.price_ticks, order.leaves,
                       book_quantity(self.book, opposite, order.price_ticks) < <int64_t> round(order.leaves / self.lot_size))

    cdef void _cancel(self, int64_t ts, const OrderCommand* command) noexcept nogil:
        cdef int32_t i = self._find(command.order_id)
        cdef VenueOrder order
        if i >= 0:
            order = self.orders[i]
            self._remove(i)
            self._respond(ts, &order, CANCELED, CANCELED_BY_US)
            return
        if self.stop_count and stop_request(self, ts, command):
            return
        memset(&order, 0, sizeof(VenueOrder))
        order.id = command.order_id
        order.side = command.side
        self._respond(ts, &order, REJECT, UNKNOWN_ORDER)

    cdef void _amend(self, int64_t ts, const OrderCommand* command) noexcept nogil:
        """Change price or quantity; a new price or a higher quantity goes to the back of the queue."""
        cdef int32_t i = self._find(command.order_id)
        cdef VenueOrder order
        cdef bint back
        memset(&order, 0, sizeof(VenueOrder))
        order.id = command.order_id
        order.side = command.side
        if i < 0:
            if not (self.stop_count and stop_request(self, ts, command)):
                self._respond(ts, &order, REJECT, UNKNOWN_ORDER)
            return
        if not self.compat:
            strict_amend(self, ts, command, i)
            return
        if self.queue == FIFO:
            fifo_compat_amend(self, ts, command, i)
            return
        order = self.orders[i]
        back = command.price_ticks != order.price_ticks or self._raw(command.quantity_lots) > order.leaves
        order.lots = command.quantity_lots
        order.price_ticks = command.price_ticks
        if not back:
            order.leaves = self._raw(command.quantity_lots)
        if back:
            self._remove(i)
            self._place_order(ts, &order, LIMIT)
        else:
            self.orders[i] = order
            self._respond(ts, &order, ACK, VENUE_OK)

    # ---- fills and replies -------------------------------------------------------------------------------------

    cdef bint _fill(self, int64_t ts, VenueOrder* order, bint maker, int64_t ticks, double quantity,
                    bint optimistic) noexcept nogil:
        """Compat: execute a raw quantity; True when nothing is left."""
        cdef int64_t lots = <int64_t> round(quantity / self.lot_size), left
        order.leaves -= quantity
        left = <int64_t> round(order.leaves / self.lot_size)
        order.done = left <= 0
        self._report(ts, order, maker, ticks, lots, left, optimistic)
        return order.done

    cdef void _report(self, int64_t ts, VenueOrder* order, bint maker, int64_t ticks, int64_t lots, int64_t left,
                      bint optimistic) noexcept nogil:
        """Tell of a fill that leaves `left` lots of the order."""
        cdef Event event
        memset(&event, 0, sizeof(Event))
        self.position = self.position + (lots if order.side == BUY else -lots)
        self.tidies = self.special
        if self.account is not None:
            self.account.fill(self.instrument, order.side, ticks, lots, maker)
            if order.id == 0:
                self.account.charge(self.instrument, LIQUIDATION_CHARGE, lots, ticks, 0, self.account.fee)
        self.trade_id = self.trade_id + 1
        event.sequence = self.trade_id
        event.order_id = order.id
        event.price_ticks = ticks
        event.quantity_lots = lots
        event.aux = order.lots - left
        event.instrument = self.instrument
        event.kind = FILL
        event.side = order.side
        event.flags = AT_LOCAL | LAST_IN_BATCH | (MAKER if maker else 0) | (OPTIMISTIC if optimistic else 0)
        event.ts_exchange_ns = ts
        self._push(ts, &event)

    cdef void _respond(self, int64_t ts, VenueOrder* order, int kind, int reason) noexcept nogil:
        cdef Event event
        memset(&event, 0, sizeof(Event))
        event.order_id = order.id
        event.price_ticks = order.price_ticks
        event.quantity_lots = order.lots
        event.aux = reason
        event.instrument = self.instrument
        event.kind = kind
        event.side = order.side
        event.flags = AT_LOCAL | LAST_IN_BATCH
        event.ts_exchange_ns = ts
        self._push(ts, &event)

    cdef void _push(self, int64_t ts, const Event* event) noexcept nogil:
        """Put a reply on the way back; replies keep their order."""
        cdef int64_t at = ts
        cdef Response* grown
        cdef int64_t waiting = self.response_tail - self.response_head
        if event.ts_exchange_ns != 0:
            at = ts + (_answer(&self.latency, ts) if self.latency.rows > 0 else self.latency.response)
        if waiting > 0:
            at = max(at, self.responses[self.response_tail - 1].ts)
        if self.response_tail == self.response_capacity:
            if self.response_head > self.response_capacity // 2:
                memmove(self.responses, self.responses + self.response_head, waiting * sizeof(Response))
            else:
                grown = <Response*> realloc(self.responses, 2 * self.response_capacity * sizeof(Response))
                if grown == NULL:
                    self.failed = True
                    return
                self.responses = grown
                self.response_capacity = self.response_capacity * 2
                memmove(self.responses, self.responses + self.response_head, waiting * sizeof(Response))
            self.response_head = 0
            self.response_tail = waiting
        self.responses[self.response_tail].ts = at
        self.responses[self.response_tail].event = event[0]
        self.responses[self.response_tail].event.ts_local_ns = at
        self.response_tail = self.response_tail + 1

    # ---- small parts -------------------------------------------------------------------------------------------

    cdef int64_t _available(self, int side, int64_t ticks) noexcept nogil:
        """Lots of a level that our earlier takers have left."""
        cdef int64_t lots = book_quantity(self.book, side, ticks)
        cdef int32_t i
        for i in range(self.used_count):
            if self.used_tick[i] == ticks and self.used_side[i] == side:
                return max(lots - self.used_lots[i], 0)
        return lots

    cdef void _use(self, int side, int64_t ticks, int64_t lots) noexcept nogil:
        cdef int32_t i
        for i in range(self.used_count):
            if self.used_tick[i] == ticks and self.used_side[i] == side:
                self.used_lots[i] = self.used_lots[i] + lots
                return
        if self.used_count == self.used_capacity and not self._used_grow():
            self.failed = True
            return
        self.used_tick[self.used_count] = ticks
        self.used_lots[self.used_count] = lots
        self.used_side[self.used_count] = side
        self.used_count = self.used_count + 1

    cdef bint _used_grow(self) noexcept nogil:
        cdef size_t size = 2 * self.used_capacity
        cdef int64_t* ticks = <int64_t*> realloc(self.used_tick, size * sizeof(int64_t))
        cdef int64_t* lots = <int64_t*> realloc(self.used_lots, size * sizeof(int64_t))
        cdef uint8_t* sides = <uint8_t*> realloc(self.used_side, size)
        self.used_tick = ticks if ticks else self.used_tick
        self.used_lots = lots if lots else self.used_lots
        self.used_side = sides if sides else self.used_side
        if not (ticks and lots and sides):
            return False
        self.used_capacity = self.used_capacity * 2
        return True

    cdef void _forget(self, int side, int64_t ticks) noexcept nogil:
        """The venue has updated a level: what we took from it is in the new figure."""
        cdef int32_t i
        for i in range(self.used_count):
            if self.used_tick[i] == ticks and self.used_side[i] == side:
                if self.visible:
                    self.used_lots[i] = min(self.used_lots[i], book_quantity(self.book, side, ticks))
                    if self.used_lots[i] > 0:
                        return
                self.used_count = self.used_count - 1
                self.used_tick[i] = self.used_tick[self.used_count]
                self.used_lots[i] = self.used_lots[self.used_count]
                self.used_side[i] = self.used_side[self.used_count]
                return

    def _check(self):
        """Walk every invariant of the resting orders; see simvenue.pyi."""
        cdef int32_t i
        cdef VenueOrder* order
        cdef VenueOrder* before
        ids = {self.orders[i].id for i in range(self.order_count)}
        assert len(ids) == self.order_count, "an order rests twice"
        for i in range(0 if self.compat else self.order_count):
            order = &self.orders[i]
            assert 0 < order.leaves_lots <= order.lots, ("leaves", order.id, order.leaves_lots, order.lots)
            assert (order.type == LIMIT and order.extra > 0) == (order.shown > 0), ("tip", order.id, order.shown)
            assert not order.flags & REDUCE_ONLY or closable(self, order) > 0, ("nothing to reduce", order.id)
            assert round(order.careful / self.lot_size) >= 0, ("queue", order.id, order.careful)
            assert self.queue != RISK_AVERSE or order.front == order.careful, ("queue", order.id)
            before = &self.orders[max(i - 1, 0)]
            assert before.side <= order.side and (before.side != order.side or _not_behind(
                order.side, before.price_ticks, order.price_ticks)), ("price priority", order.id)
        for i in range(self.stop_count):
            assert self.stops[i].type >= STOP and self.stops[i].id not in ids, ("a stop rests twice", self.stops[i].id)
        for i in range(self.used_count):
            assert 0 < self.used_lots[i] <= book_quantity(self.book, self.used_side[i], self.used_tick[i]), "used up"
        ranges = (self.buy_low, self.buy_high, self.sell_low, self.sell_high)
        self._range()
        assert ranges == (self.buy_low, self.buy_high, self.sell_low, self.sell_high), "range of the resting orders"
        assert self.request_head <= self.request_tail and self.response_head <= self.response_tail
        assert not (self.failed or self.book.bid.failed or self.book.ask.failed)

    cdef int32_t _find(self, uint64_t id) noexcept nogil:
        cdef int32_t i
        for i in range(self.order_count):
            if self.orders[i].id == id:
                return i
        return -1

    cdef void _remove(self, int32_t index) noexcept nogil:
        """Drop a resting order; the others keep their time priority."""
        self.order_count = self.order_count - 1
        memmove(&self.orders[index], &self.orders[index + 1], (self.order_count - index) * sizeof(VenueOrder))
        self._range()

    cdef void _range(self) noexcept nogil:
        """Lowest and highest of our resting ticks a side: a level outside costs two compares."""
        cdef int32_t i
        cdef int64_t ticks
        self.buy_low = self.sell_low = NO_ASK
        self.buy_high = self.sell_high = NO_BID
        for i in range(self.order_count):
            ticks = self.orders[i].price_ticks
            if self.orders[i].side == BUY:
                self.buy_low = min(self.buy_low, ticks)
                self.buy_high = max(self.buy_high, ticks)
            else:
                self.sell_low = min(self.sell_low, ticks)
                self.sell_high = max(self.sell_high, ticks)


include "funding.pxi"
include "halts.pxi"
include "triggers.pxi"
include "strict.pxi"
include "orders.pxi"


cdef class SimGateway(Gateway):
    def __cinit__(self, list venues not None):
        cdef SimVenue venue
        for venue in reversed(venues):
            venue.following = self.first
            self.first = venue
        for venue in venues:
            venue.head = self.first

    cdef int send(self, const OrderCommand* command) noexcept nogil:
        """Hand a command to its instrument's venue; 1 when the instrument is unknown, 2 when too many are in flight."""
        return 1 if self.first is None else self.first.deliver(command)
