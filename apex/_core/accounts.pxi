# Fee tables, liquidations and own depletion of the local book: what a fill means beyond its posting. Part of engine.pyx.


cdef int fees_before(Engine e, int instrument, int64_t ts) except -1:
    """Put the fees in force into the instrument's terms."""
    cdef Fees table = <Fees> e.fees[instrument]
    table.at(ts, &e.ledger.terms[instrument])
    return 0


cdef int fill_more(Engine e, const OrderRow* order, const Event* event) except -1:
    """After a fill is posted: its volume, a liquidation's fee, the level that it took from."""
    cdef LocalSide* side = &e.local[order.instrument]
    cdef int64_t value = e.ledger.value(order.instrument, 2 * event.price_ticks, event.quantity_lots), left
    cdef int other = SELL if order.side == BUY else BUY
    if e.fees is not None:
        (<Fees> e.fees[order.instrument]).traded(value)
    if order.type == LIQUIDATE and e.liquidation_fee:
        e.ledger.charge(order.instrument, LIQUIDATION_CHARGE, event.quantity_lots, event.price_ticks, 0,
                        e.liquidation_fee)
    if e.visible and not event.flags & MAKER and side.l3 == NULL:
        left = book_quantity(side.book, other, event.price_ticks)
        if left > 0:
            book_set(side.book, other, event.price_ticks, max(left - event.quantity_lots, 0), False)
            book_end_message(side.book)
    return 0


cdef int account_event(Engine e, const Event* event) except -1:
    """What the venue does to our account: a funding payment, or the order of a liquidation."""
    if event.kind == FUNDING:
        e.ledger.charge(<int> event.instrument, FUNDING_CHARGE, event.quantity_lots, event.price_ticks,
                        <int64_t> event.sequence, event.aux)
        return 0
    return liquidation_row(e, event)


cdef int liquidation_row(Engine e, const Event* event) except -1:
    """The venue's order that closes our position: a row of its own, so that each of its fills has an order."""
    cdef OrderRow* order = e._new_row()
    order.id = <uint64_t> e.order_count
    order.ts_sent_ns = order.ts_ack_ns = order.ts_done_ns = e.now
    order.ts_venue_ns, order.quantity_lots = event.ts_exchange_ns, event.quantity_lots
    order.instrument, order.side, order.type, order.tif = event.instrument, event.side, LIQUIDATE, IOC
    order.state, order.deny_reason, order.slot = WORKING, <uint16_t> ALLOWED, -1
    e.local[event.instrument].liquidation = e.order_count
    e.liquidation_fee = event.aux
    return 0
