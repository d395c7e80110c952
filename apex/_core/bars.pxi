# Bars from trades, part of engine.pyx. A bar opens at a multiple of its interval in UTC and is told at its end.


cdef void _bar_trade(BarState* bar, int side, int64_t ticks, int64_t lots, int64_t now) noexcept nogil:
    """Count a trade; one stamped with the bar's end belongs to the next bar."""
    cdef Candle* candle = &bar.now if now < bar.end_ns else &bar.ahead
    if candle.trades == 0:
        candle.open = candle.high = candle.low = ticks
    candle.high, candle.low, candle.close = max(candle.high, ticks), min(candle.low, ticks), ticks
    candle.trades += 1
    candle.volume += lots
    if side == BUY:
        candle.taker_buy += lots


cdef int _bars_close(Engine engine, int64_t now) except -1:
    """Tell every bar that ends at or before `now`, oldest interval first, then open the next.

    A bar without trades repeats the last close with volume 0; before an instrument's first trade there are none.
    """
    cdef int i
    cdef int64_t opened
    cdef BarState* bar
    cdef Candle candle
    cdef Slot slot
    engine.bar_next = NEVER
    for i in range(engine.bar_count):
        bar = &engine.bars[i]
        if bar.end_ns <= now:
            slot = <Slot> engine.slots[bar.slot]
            candle, bar.now = bar.now, bar.ahead
            memset(&bar.ahead, 0, sizeof(Candle))
            if candle.trades == 0:
                candle.open = candle.high = candle.low = candle.close = bar.close
            bar.known = bar.known or candle.trades > 0
            bar.close, opened = candle.close, bar.end_ns - bar.interval_ns
            bar.end_ns += bar.interval_ns
            if bar.end_ns > engine.timers_end:
                bar.end_ns = NEVER
            if bar.known and (engine.ready == engine.count or not slot.waits):
                slot.view.source = bar.instrument
                slot.view.bar = Bar(bar.instrument, opened, bar.interval_ns, candle.open, candle.high,
                                    candle.low, candle.close, candle.volume, candle.taker_buy, candle.trades)
                engine.calls += 1
                slot.on_bar(slot.view)
        engine.bar_next = min(engine.bar_next, bar.end_ns)
    return 0
