# Bars from trades, part of engine.pyx. A bar opens at a multiple of its interval in UTC and is told at its end.


cdef int _bar_trade(BarState* bar, int side, int64_t ticks, int64_t lots) noexcept nogil:
    if bar.trades == 0:
        bar.open = bar.high = bar.low = ticks
    bar.high, bar.low, bar.close = max(bar.high, ticks), min(bar.low, ticks), ticks
    bar.trades += 1
    bar.volume += lots
    if side == BUY:
        bar.taker_buy += lots
    bar.known = True
    return 0


cdef int _bars_close(Engine engine, int64_t now) except -1:
    """Tell every bar that ends at or before `now`, oldest interval first, then open the next.

    A bar without trades repeats the last close with volume 0; before an instrument's first trade there are none.
    """
    cdef int i
    cdef BarState* bar
    cdef Slot slot
    engine.bar_next = NEVER
    for i in range(engine.bar_count):
        bar = &engine.bars[i]
        if bar.end_ns <= now:
            slot = <Slot> engine.slots[bar.slot]
            if bar.trades == 0:
                bar.open = bar.high = bar.low = bar.close
            if bar.known and (engine.ready == engine.count or not slot.waits):
                slot.view.source = bar.instrument
                slot.view.bar = Bar(bar.instrument, bar.end_ns - bar.interval_ns, bar.interval_ns, bar.open, bar.high,
                                    bar.low, bar.close, bar.volume, bar.taker_buy, bar.trades)
                engine.calls += 1
                slot.on_bar(slot.view)
            bar = &engine.bars[i]
            bar.trades = bar.volume = bar.taker_buy = 0
            bar.end_ns += bar.interval_ns
            if bar.end_ns > engine.timers_end:
                bar.end_ns = NEVER
        engine.bar_next = min(engine.bar_next, bar.end_ns)
    return 0
