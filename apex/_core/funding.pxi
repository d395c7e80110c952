# Mark prices and funding at the simulated venue, part of simvenue.pyx. Rules: docs/venue.md.


cdef int given_fundings(SimVenue v, list given) except -1:
    """Take (ts, rate, mark ticks or 0, rest) in order of time."""
    cdef int64_t i
    v.fundings = <Funding*> calloc(len(given), sizeof(Funding))
    if v.fundings == NULL:
        raise MemoryError("no memory for the fundings")
    for i in range(len(given)):
        v.fundings[i].ts, v.fundings[i].rate = given[i][0], given[i][1]
        v.fundings[i].mark_ticks, v.fundings[i].mark_rest = given[i][2], given[i][3]
    v.funding_count = len(given)
    timers_plan(v)
    return 0


cdef void venue_mark(SimVenue v, const Batch* batch, const Level* levels, const Event* rows) noexcept nogil:
    """A MARK message: mark and rate in its first row, index and time of the next funding in its second.

    A row with nothing in `aux` may have been packed apart from the other; the last one closes the message.
    """
    cdef uint32_t i
    cdef bint second
    for i in range(batch.count):
        second = i + 1 == batch.count and (batch.flags & LAST_IN_BATCH) and (i > 0 or v.mark_open)
        if not second:
            v.mark_open = True
            if batch.encoding == LEVELS:
                v.mark_new_ticks = levels[batch.first + i].price_ticks
                v.mark_new_rest, v.rate_new = levels[batch.first + i].quantity_lots, 0
            else:
                v.mark_new_ticks = rows[batch.first + i].price_ticks
                v.mark_new_rest, v.rate_new = rows[batch.first + i].quantity_lots, rows[batch.first + i].aux
            continue
        v.mark_open = False
        mark_close(v, batch.ts_exchange_ns, rows[batch.first + i].aux if batch.encoding != LEVELS else 0)


cdef void mark_close(SimVenue v, int64_t ts, int64_t funding_at) noexcept nogil:
    """The message is whole: a funding due now goes by what was known before it."""
    if v.funding_at <= ts and v.fundings == NULL:
        funding_pay(v, v.funding_at, v.rate, v.mark_ticks, v.mark_rest)
        v.funding_at = NEVER
    v.mark_ticks, v.mark_rest, v.rate = v.mark_new_ticks, v.mark_new_rest, v.rate_new
    if v.funds and v.fundings == NULL:
        v.funding_at = funding_at if funding_at > ts else NEVER
        timers_plan(v)
    if v.account is not None:
        v.account.mark(v.instrument, v.mark_ticks, v.mark_rest)
        margin_check(v, ts)
    if v.stop_count and not v.halted:
        stops_at(v, ts, v.mark_ticks, True, v.mark_rest)


cdef void venue_timers(SimVenue v, int64_t ts) noexcept nogil:
    """What the venue does by itself at `ts`, after the market data of that time: halts begin or end, funding is due."""
    cdef Funding* given
    while v.halt_next < v.halt_count and v.halts[v.halt_next] <= ts:
        v.halt_next = v.halt_next + 1
        venue_halt(v, ts, v.halt_next & 1)
    if v.funding_at <= ts and v.fundings == NULL:
        funding_pay(v, ts, v.rate, v.mark_ticks, v.mark_rest)
        v.funding_at = NEVER
    while v.funding_next < v.funding_count and v.fundings[v.funding_next].ts <= ts:
        given = &v.fundings[v.funding_next]
        v.funding_next = v.funding_next + 1
        if given.mark_ticks:
            funding_pay(v, ts, given.rate, given.mark_ticks, given.mark_rest)
        else:
            funding_pay(v, ts, given.rate, v.mark_ticks, v.mark_rest)
    timers_plan(v)


cdef void timers_plan(SimVenue v) noexcept nogil:
    """When the venue next does something by itself."""
    v.timer_next = v.funding_at
    if v.funding_next < v.funding_count:
        v.timer_next = v.fundings[v.funding_next].ts
    if v.halt_next < v.halt_count:
        v.timer_next = min(v.timer_next, v.halts[v.halt_next])
    if v.unmarked:
        v.timer_next = 0


cdef void funding_pay(SimVenue v, int64_t ts, int64_t rate, int64_t ticks, int64_t rest) noexcept nogil:
    """Tell us of a payment on the position that is open at the venue now; positive rate: longs pay."""
    cdef Event event
    cdef int64_t position = v.position
    if position == 0:
        return
    if ticks <= 0:
        v.unmarked = True
        return
    if v.account is not None:
        v.account.charge(v.instrument, FUNDING_CHARGE, position, ticks, rest, rate)
    memset(&event, 0, sizeof(Event))
    event.price_ticks, event.sequence, event.aux = ticks, <uint64_t> rest, rate
    event.quantity_lots, event.instrument, event.kind = position, <uint32_t> v.instrument, FUNDING
    event.flags, event.ts_exchange_ns = AT_LOCAL | LAST_IN_BATCH, ts
    v._push(ts, &event)
    if v.account is not None:
        margin_check(v, ts)
