# Halts and liquidation at the simulated venue, part of simvenue.pyx. Rules: docs/venue.md.


cdef int given_halts(SimVenue v, given) except -1:
    """Take (start, end) in order of time."""
    cdef int64_t i
    flat = [int(ts) for pair in given for ts in pair]
    if sorted(set(flat)) != flat:
        raise ValueError("halts must follow each other, each with its end after its start")
    v.halts = <int64_t*> calloc(len(flat), sizeof(int64_t))
    if v.halts == NULL:
        raise MemoryError("no memory for the halts")
    for i in range(len(flat)):
        v.halts[i] = flat[i]
    v.halt_count = len(flat)
    timers_plan(v)
    return 0


cdef void venue_halt(SimVenue v, int64_t ts, bint on) noexcept nogil:
    """Matching stops, or goes on: then crossed orders of ours fill by the book as it is, and what waited is done."""
    cdef int32_t i
    cdef double there
    cdef const OrderCommand* command
    if on == v.halted:
        return
    v.halted = on
    if on:
        v.halts_seen = v.halts_seen + 1
        v.used_count = 0
        return
    for i in range(v.order_count):
        there = v._raw(book_quantity(v.book, v.orders[i].side, v.orders[i].price_ticks))
        v.orders[i].careful = fmin(v.orders[i].careful, there)
        v.orders[i].front = fmin(v.orders[i].front, there)
    strict_crossed(v, ts, BUY)
    strict_crossed(v, ts, SELL)
    for i in range(v.held_count):
        command = &v.held[i]
        if command.kind == PLACE:
            v._place(ts, command)
        else:
            v._amend(ts, command)
        if v.tidies:
            special_tidy(v, ts)
    v.held_count = 0
    if v.account is not None:
        margin_check(v, ts)


cdef void halt_request(SimVenue v, int64_t ts, const OrderCommand* command) noexcept nogil:
    """An order or an amendment that arrives in a halt: it waits, or it is refused."""
    cdef VenueOrder order
    if v.queues_orders and v.held_count < REQUESTS_MAX:
        v.held[v.held_count] = command[0]
        v.held_count = v.held_count + 1
        return
    memset(&order, 0, sizeof(VenueOrder))
    order.id, order.side = command.order_id, command.side
    order.price_ticks, order.lots = command.price_ticks, command.quantity_lots
    v._respond(ts, &order, REJECT, VENUE_HALTED)


cdef void margin_check(SimVenue v, int64_t ts) noexcept nogil:
    """Liquidate the account when its equity at mark prices is below the maintenance margin; not in a halt."""
    if v.halted or v.account.closed or not v.account.under():
        return
    v.account.closed = v.account.struck = True
    if v.head is None:
        v._close_out(ts)
    else:
        v.head._close_out(ts)


cdef void venue_liquidate(SimVenue v, int64_t ts) noexcept nogil:
    """Withdraw our orders and close our position: by the book, and at the mark price what it does not hold, or in a halt."""
    cdef VenueOrder order
    cdef Event event
    while v.order_count:
        order = v.orders[0]
        v._remove(0)
        v._respond(ts, &order, CANCELED, LIQUIDATED)
    while v.stop_count:
        order = v.stops[0]
        stop_remove(v, 0)
        v._respond(ts, &order, CANCELED, LIQUIDATED)
    if v.position == 0:
        return
    memset(&order, 0, sizeof(VenueOrder))
    order.side, order.type, order.tif = SELL if v.position > 0 else BUY, MARKET, IOC
    order.lots = order.leaves_lots = v.position if v.position > 0 else -v.position
    memset(&event, 0, sizeof(Event))
    event.quantity_lots, event.side, event.kind = order.lots, order.side, LIQUIDATION
    event.instrument, event.aux = <uint32_t> v.instrument, v.account.fee
    event.flags, event.ts_exchange_ns = AT_LOCAL | LAST_IN_BATCH, ts
    v._push(ts, &event)
    if v.synced and not v.halted:
        strict_take(v, ts, &order, MARKET, False)
    if order.leaves_lots > 0:
        strict_fill(v, ts, &order, False, max(v.mark_ticks, <int64_t> 1), order.leaves_lots, False)
