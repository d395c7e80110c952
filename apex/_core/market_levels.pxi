# A book of levels, part of market.pyx: the market without rules, whose orders are parts of a level's total.

cdef void _place(Pit* pit, int which) noexcept nogil:
    """A limit order: behind the best price that neither crosses nor passes the fair one; into a gap if there is one."""
    cdef Ladder* ladder = &pit.ladders[which]
    cdef int64_t outward = 2 * which - 1, fair = pit.fair_q8 >> 8, anchor, tick, lots, gap
    cdef int64_t distance = _sample(place_distance, _draw(&pit.random))
    if which == BID:
        anchor = min(pit.ladders[ASK].best - 1, fair)
    else:
        anchor = max(pit.ladders[BID].best + 1, fair + 1)
    gap = (ladder.best - anchor) * outward
    tick = anchor + outward * (distance % gap if gap > WIDE else distance)
    if tick < 1 or (ladder.far - tick) * outward >= WINDOW - 1 or (tick - ladder.best) * outward >= WINDOW - 1:
        return                                               # outside the ring: nobody quotes there
    lots = _lots(pit, which, tick)
    if lots < LOTS_MAX:
        _set(pit, which, tick, lots + 1 + _sample(limit_lots, _draw(&pit.random)))


cdef void _cancel(Pit* pit, int which) noexcept nogil:
    """A cancellation: 1/16 to 8/16 of what stands at a level, rounded up; all of a small level."""
    cdef Ladder* ladder = &pit.ladders[which]
    cdef int64_t outward = 2 * which - 1, tick, lots, gone
    cdef uint64_t bits = _draw(&pit.random)
    tick = ladder.best + outward * _sample(cancel_distance, bits)
    if (tick - ladder.far) * outward > 0:
        tick = ladder.best
    while _lots(pit, which, tick) == 0:                      # ends: the walk is towards the best, which is occupied
        tick -= outward
    lots = _lots(pit, which, tick)
    gone = lots if lots <= SINGLE else (lots * (1 + <int64_t> (bits & 7)) + 15) // 16
    if gone < lots or _may_empty(pit, which, tick):
        _set(pit, which, tick, lots - gone)


cdef void _act(Pit* pit) noexcept nogil:
    """One action of a depth message: a stale quote withdrawn, an order placed, or one cancelled."""
    cdef uint64_t bits = _draw(&pit.random)
    cdef int stale = _stale(pit)
    cdef bint up = _leans(pit.flow // 4, bits)
    if stale != NEITHER and (bits >> 16) & 3 and _may_empty(pit, stale, pit.ladders[stale].best):
        _set(pit, stale, pit.ladders[stale].best, 0)
    elif (bits >> 20) & 1:
        _place(pit, BID if up else ASK)
    else:
        _cancel(pit, ASK if up else BID)


cdef void _withdraw(Pit* pit, int which) noexcept nogil:
    """Cancel what lies more than REACH behind the touch, a bounded number of levels at a time."""
    cdef Ladder* ladder = &pit.ladders[which]
    cdef int64_t outward = 2 * which - 1
    cdef int count = 0
    while (ladder.far - ladder.best) * outward > REACH and ladder.levels > LEVELS_MIN and count < WITHDRAW_MAX:
        if _lots(pit, which, ladder.far) != 0:
            _set(pit, which, ladder.far, 0)
            count += 1
        ladder.far -= outward


cdef void _move(Pit* pit, const Regime* regime) noexcept nogil:
    """What changes by itself in a step: the lean of the flow, now and then the fair price and the regime."""
    cdef uint64_t bits = _draw(&pit.random)
    cdef int64_t size
    cdef bint up
    pit.flow += (<int64_t> (bits & 0xFFFF) - 32768) // 8 - pit.flow // 64
    if ((bits >> 16) & 0xFFFF) < regime.leave:
        pit.regime = (2 if (bits >> 60) == 0 else 0) if pit.regime == 1 else 1
    size = pit.excess_q8 // RECOVERY
    pit.fair_q8 -= size
    pit.excess_q8 -= size
    if ((bits >> 32) & 0xFFFF) < regime.jump:
        bits = _draw(&pit.random)
        size = (_sample(exponential, bits) * (pit.jump_q8 * regime.jump_scale // 16)) >> 20
        up = _leans(pit.flow // 4, bits)
        if pit.fair_q8 + size > pit.fair_high_q8:
            up = False
        if pit.fair_q8 - size < pit.fair_low_q8:
            up = True
        size = size if up else -size
        pit.fair_q8 += size
        pit.excess_q8 += size * 3 // 8


cdef void _trade(Sink* sink, Pit* pit, int stale) noexcept nogil:
    """A market order: one trade a level, then a depth message of what it took. An informed one takes stale quotes only."""
    cdef uint64_t bits = _draw(&pit.random)
    cdef int64_t left = 1 + _sample(market_lots, bits), tick, lots, taken, feed_ns = _feed(sink)
    cdef int which = ASK if _leans(pit.flow, bits) else BID, swept = 0
    cdef Py_ssize_t first
    if stale != NEITHER:
        which, left = stale, left * INFORMED_LOTS
    _begin(pit)
    while left > 0 and swept < SWEEP_MAX and (stale == NEITHER or _stale(pit) == stale):
        tick = pit.ladders[which].best
        lots = _lots(pit, which, tick)
        taken = min(left, lots)
        if taken == lots and not _may_empty(pit, which, tick):
            taken = lots - 1                                 # a book that thin gives no more than this
            left = taken
            if taken == 0:
                break
        first = sink.level_count
        _level(sink, SELL - which, tick, taken)              # who takes asks buys
        pit.trade_id += 1
        _batch(sink, pit, TRADE, pit.trade_id, first, LAST_IN_BATCH, feed_ns)
        _set(pit, which, tick, lots - taken)
        left -= taken
        swept += 1
    _publish(sink, pit, feed_ns)


cdef void _depth(Sink* sink, Pit* pit, int64_t rows_max) noexcept nogil:
    """A depth message of a burst of actions, of at most `rows_max` rows."""
    cdef int64_t burst = 1 + ((BURST_MEAN - 1) * _sample(exponential, _draw(&pit.random)) >> 20), _
    _begin(pit)
    for _ in range(min(burst, rows_max, BURST_MAX)):
        _act(pit)
    if rows_max >= STEP_ROWS_MAX:
        _withdraw(pit, BID)
        _withdraw(pit, ASK)
    _publish(sink, pit, _feed(sink))


cdef void _level_step(Sink* sink, Pit* pit, int64_t rows_max) noexcept nogil:
    """One step: a market order, or a depth message of at most `rows_max` rows."""
    cdef const Regime* regime = &regimes[pit.regime]
    cdef uint64_t bits = _draw(&pit.random)
    cdef int stale
    _move(pit, regime)
    stale = _stale(pit)
    if rows_max >= STEP_ROWS_MAX and (bits & 0xFF) < (regime.market if stale == NEITHER else INFORMED):
        _trade(sink, pit, stale)
    else:
        _depth(sink, pit, rows_max)
    pit.next_ns += 1_000 + (regime.interval_ns * _sample(exponential, bits) >> 20)


cdef void _open_levels(Pit* pit, int64_t price_ticks, int64_t depth) noexcept nogil:
    """A book of levels in its stationary state around the price, `depth` levels a side at most."""
    cdef int _, which
    cdef Ladder* ladder
    _begin(pit)
    _set(pit, BID, price_ticks, 100)
    _set(pit, ASK, price_ticks + 1, 100)
    for _ in range(WARM_UP):
        _begin(pit)
        _act(pit)
    for which in range(2):
        ladder = &pit.ladders[which]
        while ladder.levels > depth:
            _begin(pit)
            if _lots(pit, which, ladder.far) != 0:
                _set(pit, which, ladder.far, 0)
            ladder.far -= 2 * which - 1
