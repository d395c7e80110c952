# Market by order at the simulated venue, part of simvenue.pyx. Numbers: docs/decisions/012-orders-and-queues.md.


cdef void venue_orders(SimVenue v, int64_t ts, const Event* rows, uint32_t count) noexcept nogil:
    """One message of ORDER_ rows; with the first, the book becomes the totals of an order-by-order book."""
    cdef uint32_t i
    cdef L3Change change
    if v.l3 == NULL:
        v.l3 = l3_new(v.book, v.compat)
        if v.l3 == NULL:
            v.failed = True
            return
    for i in range(count):
        if v.halted or (v.order_count == 0 and v.used_count == 0 and v.stop_count == 0):
            l3_apply(v.l3, &rows[i], &change)
        else:
            _order_row(v, ts, &rows[i])
    book_end_message(v.book)
    v.failed = v.failed or v.l3.failed


cdef void _order_row(SimVenue v, int64_t ts, const Event* row) noexcept nogil:
    """One row, with our resting orders looking on: its execution first, then the levels that it changes."""
    cdef int32_t place = l3_find(v.l3, row.order_id)
    cdef int side = row.side
    cdef int64_t ticks = row.price_ticks, total, total_to, best_bid = v.book.bid.best, best_ask = v.book.ask.best
    cdef uint64_t entered = 0
    cdef bint puts = row.kind == ORDER_ADD or row.kind == ORDER_MODIFY, more, more_to = False
    cdef L3Change change
    if place != NO_ORDER:
        side, ticks, entered = v.l3.orders[place].side, v.l3.orders[place].ticks, v.l3.orders[place].entered
    if row.kind == ORDER_EXECUTE and not row.flags & NOT_MARKET:
        if v.queue == FIFO:                                       # 1: the order may be ahead of ours, or behind
            if v.compat:
                _fifo_compat(v, ts, side, row.price_ticks, ticks, entered)
            else:
                _fifo_strict(v, ts, side, ticks, entered, row.quantity_lots)
        elif not row.flags & KEEPS_BOOK and v.order_count:        # 6
            v._trade(ts, SELL if side == BUY else BUY, row.price_ticks, row.quantity_lots)
        if v.stop_count and not row.flags & KEEPS_BOOK:
            stops_at(v, ts, row.price_ticks, False)
    total = book_quantity(v.book, side, ticks)
    total_to = book_quantity(v.book, row.side, row.price_ticks)
    l3_apply(v.l3, row, &change)
    more = _total_changed(v, side, ticks, total)
    if puts and row.side != NO_SIDE and (row.side != side or row.price_ticks != ticks):
        more_to = _total_changed(v, row.side, row.price_ticks, total_to)
    if puts and row.flags & SNAPSHOT and v.queue == FIFO:
        _stand_behind(v, row.side, row.price_ticks)               # 4
    if v.compat:
        if v.sell_low <= v.book.bid.best and v.book.bid.best > best_bid:
            v._crossed(ts, BUY, best_bid)
        if v.buy_high >= v.book.ask.best and v.book.ask.best < best_ask:
            v._crossed(ts, SELL, best_ask)
        return
    if more or more_to:                                           # 3
        if v.sell_low <= v.book.bid.best and (side == BUY or row.side == BUY):
            strict_crossed(v, ts, BUY)
        if v.buy_high >= v.book.ask.best and (side == SELL or row.side == SELL):
            strict_crossed(v, ts, SELL)


cdef bint _total_changed(SimVenue v, int side, int64_t ticks, int64_t before) noexcept nogil:
    """A level's total was `before`: what we used up of it is forgotten, queue positions by totals follow.

    Returns whether it has changed and still has lots.
    """
    cdef int64_t after
    if side == NO_SIDE:
        return False
    after = book_quantity(v.book, side, ticks)
    if after == before:
        return False
    if v.used_count:
        v._forget(side, ticks)
    if v.queue != FIFO and (v.buy_low <= ticks <= v.buy_high if side == BUY else v.sell_low <= ticks <= v.sell_high):
        v._depth(side, ticks, v._raw(before), v._raw(after))
    return after > 0


cdef void _stand_behind(SimVenue v, int side, int64_t ticks) noexcept nogil:
    """An order that comes into sight was there before ours."""
    cdef int32_t i
    for i in range(v.order_count):
        if v.orders[i].side == side and v.orders[i].price_ticks == ticks:
            v.orders[i].entered = v.l3.entered


cdef void _fifo_strict(SimVenue v, int64_t ts, int side, int64_t ticks, uint64_t entered, int64_t lots) noexcept nogil:
    """1 and 2: an order of `side` that stands at `ticks` under a number executes; ours at better prices, and at its
    price ahead of it, would have had these lots, better price first, then time."""
    cdef int32_t i = 0
    cdef VenueOrder* order
    cdef int64_t left = lots, take
    while i < v.order_count and left > 0:
        order = &v.orders[i]
        if order.side == side and _not_behind(side, order.price_ticks, ticks) and (
                order.price_ticks != ticks or order.entered < entered):
            take = min(left, within(v, order, order.price_ticks == ticks))
            left -= take
            if (take > 0 and strict_fill(v, ts, order, True, order.price_ticks, take, False)) or spent(v, ts, order):
                v._remove(i)
                continue
        i += 1
    if v.tidies:
        special_tidy(v, ts)


cdef void fifo_expire(SimVenue v, int64_t ts, int side) noexcept nogil:
    """5: the venue has cleared a side, or both (0): our orders there are gone."""
    cdef int32_t i = 0
    cdef VenueOrder order
    while i < v.order_count:
        order = v.orders[i]
        if side == NO_SIDE or order.side == side:
            v._remove(i)
            v._respond(ts, &order, EXPIRED, CLEARED)
        else:
            i += 1


# ---- compat: hftbacktest 2.4.4's L3NoPartialFillExchange with L3FIFOQueueModel -----------------------------------------

cdef void _fifo_compat(SimVenue v, int64_t ts, int side, int64_t traded, int64_t ticks, uint64_t entered) noexcept nogil:
    """Orders ahead of the executed one in its queue fill whole, and those between its trade's price and the best.

    hftbacktest looks only at ticks up to the best, unless it has fewer orders than there are such ticks: then at all.
    """
    cdef int32_t i = 0
    cdef int64_t best = v.book.bid.best if side == BUY else v.book.ask.best
    cdef int64_t low = traded + 1 if side == BUY else best, high = best if side == BUY else traded - 1
    cdef VenueOrder* order
    cdef bint between = traded < best if side == BUY else traded > best
    cdef bint every = v.order_count < high - low
    while i < v.order_count:
        order = &v.orders[i]
        if order.side == side and (
                (between and (every or low <= order.price_ticks <= high) and (
                    order.price_ticks > traded if side == BUY else order.price_ticks < traded))
                or (order.price_ticks == ticks and order.entered < entered)):
            v._fill(ts, order, True, order.price_ticks, order.leaves, False)
            v._remove(i)
        else:
            i += 1


cdef void fifo_compat_amend(SimVenue v, int64_t ts, const OrderCommand* command, int32_t i) noexcept nogil:
    """The order takes the new quantity whole, and rests at the new price even where that crosses."""
    cdef VenueOrder order = v.orders[i]
    cdef double leaves = v._raw(command.quantity_lots)
    cdef bint back = command.price_ticks != order.price_ticks or order.leaves < leaves
    order.lots, order.leaves, order.price_ticks = command.quantity_lots, leaves, command.price_ticks
    if back:
        v._remove(i)
        v._rest(ts, &order)
    else:
        v.orders[i] = order
        v._respond(ts, &order, ACK, VENUE_OK)
