# The strict rules of fills, part of simvenue.pyx. Numbers: docs/decisions/004-strict-fills.md.
# Resting orders stand by side, then price, then time: so every loop over them meets the better price first.


cdef inline bint _not_behind(int side, int64_t ticks, int64_t other) noexcept nogil:
    """Whether a price of `side` is as good as another, or better."""
    return ticks >= other if side == BUY else ticks <= other


cdef inline bint _reaches(int side, int64_t limit, int64_t ticks) noexcept nogil:
    """Whether an order of `side` may trade at `ticks`; never with the best of an empty side."""
    return _not_behind(side, limit, ticks) and ticks != NO_ASK and ticks != NO_BID


cdef void strict_place(SimVenue v, int64_t ts, VenueOrder* order, int type) noexcept nogil:
    """A new order, or an amended one that goes to the back of its queue."""
    cdef int64_t best = v.book.ask.best if order.side == BUY else v.book.bid.best
    cdef bint crosses = type == MARKET or _reaches(order.side, order.price_ticks, best)
    cdef bint rests = type == LIMIT and order.tif != IOC and order.tif != FOK
    if not v.synced:                                              # 6
        v._respond(ts, order, refusal(order), VENUE_UNSYNCED)
    elif order.flags & REDUCE_ONLY and closable(v, order) <= 0:
        v._respond(ts, order, refusal(order), NOTHING_TO_REDUCE)
    elif rests and crosses and order.tif == GTX:
        v._respond(ts, order, EXPIRED, POST_ONLY_WOULD_CROSS)
    elif rests and v.order_count >= ORDERS_MAX:
        v._respond(ts, order, refusal(order), VENUE_FULL)
    elif order.tif == FOK and not strict_take(v, ts, order, type, True):
        v._respond(ts, order, EXPIRED, NO_LIQUIDITY)
    else:
        if rests and not order.flags & ACKNOWLEDGED:
            v._respond(ts, order, ACK, VENUE_OK)                  # 8: before its fills
        order.flags &= ~ACKNOWLEDGED
        if strict_take(v, ts, order, type, False):
            return
        if rests:
            strict_rest(v, order)
        else:
            v._respond(ts, order, EXPIRED, NO_LIQUIDITY)


cdef bint strict_take(SimVenue v, int64_t ts, VenueOrder* order, int type, bint look) noexcept nogil:
    """4: take what the levels up to the limit still hold; whether that is all that is wanted. look: only look."""
    cdef int side = SELL if order.side == BUY else BUY
    cdef int64_t tick = v.book.ask.best if order.side == BUY else v.book.bid.best
    cdef int64_t take, left = order.leaves_lots, touch = tick, there = 0, done = 0, price, extra, pushed
    cdef double walked = 0.0, push = 0.0
    cdef bint impacts = v.impact is not None and touch != NO_ASK and touch != NO_BID
    if impacts:
        push, there = v.impact.displaced(ts), v._available(side, touch)
    if order.flags & REDUCE_ONLY and closable(v, order) < left:
        if look:
            return False
        left = closable(v, order)
    while left > 0 and tick != NO_ASK and tick != NO_BID and (
            type == MARKET or _reaches(order.side, order.price_ticks, tick)):
        take = min(v._available(side, tick), left)
        price = tick
        if impacts and take > 0:
            walked += (<double> (tick - touch if tick > touch else touch - tick)) * (<double> take)
            extra = v.impact.extra(touch, there, done, take, walked)
            walked += (<double> extra) * (<double> take)
            pushed = <int64_t> round(fmin(fmax(push * tick, -1e15), 1e15))
            price = max(tick + (extra if order.side == BUY else -extra) + pushed, <int64_t> 1)
            if type != MARKET and not _reaches(order.side, order.price_ticks, price):
                break
            done += take
            if not look:
                v.impact.pays(order.side, tick, price, take)
        left -= take
        if take > 0 and not look:
            v._use(side, tick, take)
            strict_fill(v, ts, order, False, price, take, False)
        tick = book_next(v.book, side, tick)
    if done and not look:
        v.impact.took(ts, order.side, done)
    return left == 0


cdef void strict_rest(SimVenue v, VenueOrder* order) noexcept nogil:
    """Behind all orders of its side with a better or the same price. The caller knows that there is room."""
    cdef int32_t i = v.order_count
    cdef VenueOrder* before
    while i > 0:
        before = &v.orders[i - 1]
        if before.side < order.side or (before.side == order.side and _not_behind(
                order.side, before.price_ticks, order.price_ticks)):
            break
        i -= 1
    order.front = order.careful = v._raw(book_quantity(v.book, order.side, order.price_ticks))
    order.traded = 0.0
    order.entered = v.l3.entered if v.l3 != NULL else 0
    order.shown = min(order.extra, order.leaves_lots) if order.type == LIMIT else 0
    v.special = v.special or order.shown > 0 or order.flags & REDUCE_ONLY
    memmove(&v.orders[i + 1], &v.orders[i], (v.order_count - i) * sizeof(VenueOrder))
    v.orders[i] = order[0]
    v.order_count = v.order_count + 1
    v._range()


cdef void strict_amend(SimVenue v, int64_t ts, const OrderCommand* command, int32_t i) noexcept nogil:
    """9: the new quantity counts what has filled; the place in the queue stays only on a decrease at the same price."""
    cdef VenueOrder order = v.orders[i]
    cdef int64_t leaves = command.quantity_lots - (order.lots - order.leaves_lots)
    cdef bint back = command.price_ticks != order.price_ticks or command.quantity_lots > order.lots
    if leaves <= 0:
        v._remove(i)
        v._respond(ts, &order, CANCELED, CANCELED_BY_US)
        return
    if back and not v.synced:                                     # 6: it rests on as it was
        v._respond(ts, &order, REJECT, VENUE_UNSYNCED)
        return
    order.lots, order.leaves_lots, order.price_ticks = command.quantity_lots, leaves, command.price_ticks
    order.shown = min(order.shown, leaves)
    if back:
        v._remove(i)
        strict_place(v, ts, &order, LIMIT)
    else:
        v.orders[i] = order
        v._respond(ts, &order, ACK, VENUE_OK)


cdef void strict_trade(SimVenue v, int64_t ts, int side, int64_t ticks, int64_t lots) noexcept nogil:
    """1 and 2: a market trade is shared among the orders that it reaches."""
    cdef int32_t i = 0
    cdef VenueOrder* order
    cdef int64_t left = lots, past, sure, take
    cdef bint gone
    while i < v.order_count:
        order = &v.orders[i]
        gone = spent(v, ts, order)
        if not gone and order.side != side and order.price_ticks == ticks:
            past = min(v._pass(order, v._raw(lots), &sure), lots) - (lots - left)
            sure = min(sure, lots) - (lots - left)
            take = min(past, within(v, order, True))
            if take > 0:
                left -= take
                gone = strict_fill(v, ts, order, True, ticks, take, take > sure)       # 7
            if not gone and not (order.shown == 0 and order.extra):
                left = 0                                          # 1: those behind it wait
        elif not gone and order.side != side and _not_behind(side, ticks, order.price_ticks):
            take = min(left, within(v, order, False))
            if take > 0:
                left -= take
                gone = strict_fill(v, ts, order, True, order.price_ticks, take, False)
        if gone:
            v._remove(i)
        else:
            i += 1
    if v.tidies:
        special_tidy(v, ts)


cdef void strict_crossed(SimVenue v, int64_t ts, int side) noexcept nogil:
    """3: levels of `side` at or through our orders fill them by what these levels still hold."""
    cdef int32_t i = 0
    cdef VenueOrder* order
    cdef int64_t tick, take
    cdef bint gone
    while i < v.order_count:
        order = &v.orders[i]
        gone = spent(v, ts, order)
        if not gone and order.side != side:
            tick = v.book.bid.best if side == BUY else v.book.ask.best
            while not gone and _reaches(order.side, order.price_ticks, tick):
                take = min(v._available(side, tick), within(v, order, False))
                if take > 0:
                    v._use(side, tick, take)
                    gone = strict_fill(v, ts, order, True, order.price_ticks, take, False)
                tick = book_next(v.book, side, tick)
        if gone:
            v._remove(i)
        else:
            i += 1
    if v.tidies:
        special_tidy(v, ts)


cdef bint strict_fill(SimVenue v, int64_t ts, VenueOrder* order, bint maker, int64_t ticks, int64_t lots,
                      bint optimistic) noexcept nogil:
    """Execute lots; True when nothing is left."""
    order.leaves_lots -= lots
    order.shown = max(order.shown - lots, 0)
    v._report(ts, order, maker, ticks, lots, order.leaves_lots, optimistic)
    return order.leaves_lots == 0 or spent(v, ts, order)
