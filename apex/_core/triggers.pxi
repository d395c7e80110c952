# Stops, trailing stops, reduce-only orders and icebergs, part of simvenue.pyx. Rules: docs/venue.md.


cdef inline int refusal(const VenueOrder* order) noexcept nogil:
    """How the venue says no: an order that it has acknowledged expires."""
    return EXPIRED if order.flags & ACKNOWLEDGED else REJECT


cdef inline int64_t closable(SimVenue v, const VenueOrder* order) noexcept nogil:
    """Lots of our position that an order of its side would close."""
    return max(-v.position if order.side == BUY else v.position, 0)


cdef inline int64_t within(SimVenue v, const VenueOrder* order, bint queued) noexcept nogil:
    """Lots that an order may fill now; queued: only what an iceberg shows stands in the queue."""
    cdef int64_t lots = order.shown if queued and order.shown > 0 else order.leaves_lots
    return min(lots, closable(v, order)) if order.flags & REDUCE_ONLY else lots


cdef inline bint spent(SimVenue v, int64_t ts, VenueOrder* order) noexcept nogil:
    """Whether a reduce-only order has nothing left to close; it expires then."""
    if not order.flags & REDUCE_ONLY or closable(v, order) > 0:
        return False
    v._respond(ts, order, EXPIRED, NOTHING_TO_REDUCE)
    return True


cdef void special_tidy(SimVenue v, int64_t ts) noexcept nogil:
    """After fills: reduce-only orders that are spent expire, and icebergs show their next part at the back."""
    cdef int32_t i = 0
    cdef VenueOrder order
    v.tidies = False
    while i < v.order_count:
        if spent(v, ts, &v.orders[i]):
            v._remove(i)
        elif v.orders[i].type == LIMIT and v.orders[i].extra > 0 and v.orders[i].shown == 0:
            order = v.orders[i]
            v._remove(i)
            strict_rest(v, &order)
        else:
            i += 1


cdef void special_place(SimVenue v, int64_t ts, VenueOrder* order) noexcept nogil:
    """An order of a type, or with a flag, that hftbacktest does not know."""
    if v.compat:
        v._respond(ts, order, REJECT, NOT_IN_COMPAT)
    elif order.type >= STOP:
        stop_place(v, ts, order)
    else:
        strict_place(v, ts, order, order.type)


cdef inline bint reached(int side, int64_t trigger, int64_t ticks) noexcept nogil:
    """Whether a price triggers a stop: a buy stop at its trigger or above, a sell stop at it or below."""
    return ticks >= trigger if side == BUY else ticks <= trigger


cdef void stop_place(SimVenue v, int64_t ts, VenueOrder* order) noexcept nogil:
    """A new stop; one that the touch has already reached is refused, as venues do."""
    cdef int64_t touch = v.book.ask.best if order.side == BUY else v.book.bid.best
    cdef int reason = VENUE_OK
    if not v.synced:
        reason = VENUE_UNSYNCED
    elif touch == NO_ASK or touch == NO_BID:
        reason = NO_LIQUIDITY
    elif order.flags & BY_MARK and v.mark_ticks == 0:
        reason = NO_MARK_PRICE
    elif v.stop_count >= STOPS_MAX:
        reason = VENUE_FULL
    else:
        touch = v.mark_ticks if order.flags & BY_MARK else touch
        order.trigger = order.extra if order.type == STOP_LIMIT else order.price_ticks
        if order.type == TRAILING:
            order.trigger = touch + order.extra if order.side == BUY else touch - order.extra
            order.price_ticks = order.trigger
        if reached(order.side, order.trigger, touch):
            reason = STOP_REACHED
    if reason != VENUE_OK:
        v._respond(ts, order, REJECT, reason)
        return
    v.stops[v.stop_count] = order[0]
    v.stop_count = v.stop_count + 1
    v._respond(ts, order, ACK, VENUE_OK)


cdef int32_t stop_find(SimVenue v, uint64_t id) noexcept nogil:
    cdef int32_t i
    for i in range(v.stop_count):
        if v.stops[i].id == id:
            return i
    return -1


cdef void stop_remove(SimVenue v, int32_t index) noexcept nogil:
    v.stop_count = v.stop_count - 1
    memmove(&v.stops[index], &v.stops[index + 1], (v.stop_count - index) * sizeof(VenueOrder))


cdef bint stop_request(SimVenue v, int64_t ts, const OrderCommand* command) noexcept nogil:
    """Cancel or amend a stop that has not triggered; False when there is none of this id.

    An amendment's price is a stop's trigger, a stop-limit's limit, and has no meaning for a trailing stop.
    """
    cdef int32_t i = stop_find(v, command.order_id)
    cdef VenueOrder order
    cdef int64_t touch = v.book.ask.best if command.side == BUY else v.book.bid.best
    if i < 0:
        return False
    order = v.stops[i]
    touch = v.mark_ticks if order.flags & BY_MARK else touch
    if command.kind != AMEND:
        stop_remove(v, i)
        v._respond(ts, &order, CANCELED, CANCELED_BY_US)
        return True
    if not v.synced or (order.type == STOP and reached(order.side, command.price_ticks, touch)):
        v._respond(ts, &order, REJECT, STOP_REACHED if v.synced else VENUE_UNSYNCED)
        return True
    order.lots = order.leaves_lots = command.quantity_lots
    if order.type != TRAILING:
        order.price_ticks = command.price_ticks
    if order.type == STOP:
        order.trigger = command.price_ticks
    v.stops[i] = order
    v._respond(ts, &order, ACK, VENUE_OK)
    return True


cdef void stops_at(SimVenue v, int64_t ts, int64_t ticks, bint by_mark, int64_t rest=0) noexcept nogil:
    """A price, with the sign of what it has beyond its ticks: trailing stops follow it, and what it reaches triggers, in the order of arrival.

    Out of sync nobody knows at which price: what is reached then triggers with the first price after it.
    """
    cdef int32_t i = 0
    cdef int64_t price
    cdef VenueOrder order
    cdef VenueOrder* stop
    while i < v.stop_count:
        stop = &v.stops[i]
        if ((stop.flags & BY_MARK) != 0) != by_mark:
            i += 1
            continue
        price = ticks - (rest < 0) if stop.side == BUY else ticks + (rest > 0)
        if not stop.done and reached(stop.side, stop.trigger, price):
            stop.done = True
        elif stop.type == TRAILING and not stop.done:
            if stop.side == BUY:
                stop.trigger = min(stop.trigger, price + stop.extra)
            else:
                stop.trigger = max(stop.trigger, price - stop.extra)
        if not stop.done or not v.synced:
            i += 1
            continue
        order = stop[0]
        stop_remove(v, i)
        order.done = False
        order.type = LIMIT if order.type == STOP_LIMIT else MARKET
        order.extra = 0
        stop_fired(v, ts, &order, ticks)


cdef void stop_fired(SimVenue v, int64_t ts, VenueOrder* order, int64_t ticks) noexcept nogil:
    """A stop has triggered: it is an order of the market from now on, without another leg to the venue."""
    cdef Event event
    memset(&event, 0, sizeof(Event))
    event.order_id, event.aux = order.id, ticks
    event.price_ticks, event.quantity_lots = order.price_ticks, order.lots
    event.instrument, event.side, event.kind = <uint32_t> v.instrument, order.side, TRIGGERED
    event.flags, event.ts_exchange_ns = AT_LOCAL | LAST_IN_BATCH, ts
    v._push(ts, &event)
    order.flags |= ACKNOWLEDGED
    strict_place(v, ts, order, order.type)
    if v.tidies:
        special_tidy(v, ts)


cdef void venue_trades_and_stops(SimVenue v, const Batch* batch, const Level* levels, const Event* rows) noexcept nogil:
    """The trades of one message: each meets our resting orders, then our stops."""
    cdef uint32_t i
    cdef int side
    cdef int64_t ticks, lots
    if v.halted:
        return
    for i in range(batch.count):
        if batch.encoding == LEVELS:
            side, ticks = levels[batch.first + i].side, levels[batch.first + i].price_ticks
            lots = levels[batch.first + i].quantity_lots
        else:
            side, ticks = rows[batch.first + i].side, rows[batch.first + i].price_ticks
            lots = rows[batch.first + i].quantity_lots
        if v.order_count and v.queue != FIFO:
            v._trade(batch.ts_exchange_ns, side, ticks, lots)
        stops_at(v, batch.ts_exchange_ns, ticks, False)
