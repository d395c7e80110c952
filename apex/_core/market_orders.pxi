# A book of single orders, part of market.pyx: what makers and market orders do where an instrument has rules.

cdef enum:
    NONE = -1
    FOLLOW_MIN = 4           # orders; a touch of at least so many is followed when the price leaves it
    OLDER_MAX = 7            # orders behind which an order may stand to be cancelled before them


cdef inline Queue* _queue(Pit* pit, int which, int64_t tick) noexcept nogil:
    return &pit.queues[which * WINDOW + (tick & (WINDOW - 1))]


cdef inline bint _panics(const Pit* pit) noexcept nogil:
    """Whether makers are scared: while a crash falls, and while it rests."""
    return 1 <= pit.phase <= 2


cdef void _order_row(Pit* pit, int kind, int which, int64_t tick, int64_t lots, uint64_t order_id) noexcept nogil:
    """A row of the order stream; time, sequence and flags come when the message is closed."""
    cdef Event* row = &pit.sink.rows[pit.sink.row_count]
    pit.sink.row_count += 1
    memset(row, 0, sizeof(Event))
    row.order_id, row.price_ticks, row.quantity_lots = order_id, tick, lots
    row.instrument, row.kind, row.side = pit.index, <uint8_t> kind, <uint8_t> (BUY + which)


cdef void _join(Pit* pit, int which, int64_t tick, int64_t lots) noexcept nogil:
    """A new order at the back of its level's queue; where there is no room for it, one makes room instead."""
    cdef Queue* queue = _queue(pit, which, tick)
    cdef Order* order
    cdef int32_t index = pit.free
    cdef int64_t total = _lots(pit, which, tick)
    if index == NONE or total >= LOTS_MAX:
        _make_room(pit, which)
        return
    order = &pit.orders[index]
    pit.free = order.next
    pit.order_id += 1
    order.lots, order.id, order.next, order.previous = lots, pit.order_id, NONE, NONE
    if queue.count == 0:
        queue.first = index
    else:
        order.previous = queue.last
        pit.orders[queue.last].next = index
    queue.last = index
    queue.count += 1
    pit.resting[which] += 1
    _set(pit, which, tick, total + lots)
    if pit.by_order:
        _order_row(pit, ORDER_ADD, which, tick, lots, order.id)


cdef void _remove(Pit* pit, int which, int64_t tick, int32_t index) noexcept nogil:
    """Take an order out of its queue; totals and rows are the caller's."""
    cdef Queue* queue = _queue(pit, which, tick)
    cdef Order* order = &pit.orders[index]
    if order.previous == NONE:
        queue.first = order.next
    else:
        pit.orders[order.previous].next = order.next
    if order.next == NONE:
        queue.last = order.previous
    else:
        pit.orders[order.next].previous = order.previous
    queue.count -= 1
    pit.resting[which] -= 1
    order.next = pit.free
    pit.free = index


cdef bint _pull(Pit* pit, int which, int64_t tick, int32_t index) noexcept nogil:
    """Cancel an order; not the last one of a level that has to stay."""
    cdef int64_t lots = pit.orders[index].lots
    if _queue(pit, which, tick).count == 1 and not _may_empty(pit, which, tick):
        return False
    if pit.by_order:
        _order_row(pit, ORDER_DELETE, which, tick, lots, pit.orders[index].id)
    _remove(pit, which, tick, index)
    _set(pit, which, tick, _lots(pit, which, tick) - lots)
    return True


cdef void _make_room(Pit* pit, int which) noexcept nogil:
    """Cancel the order farthest behind a side's touch, or behind the other's where that one has to stay."""
    cdef Ladder* ladder
    cdef int i, side
    for i in range(2):
        side = which ^ i
        ladder = &pit.ladders[side]
        while _lots(pit, side, ladder.far) == 0:             # ends at the touch, which is never empty
            ladder.far -= 2 * side - 1
        if _pull(pit, side, ladder.far, _queue(pit, side, ladder.far).last):
            return


cdef void _place_order(Pit* pit, int which) noexcept nogil:
    """A limit order behind the own best, or behind the fair price where the best is stale."""
    cdef Ladder* ladder = &pit.ladders[which]
    cdef int64_t outward = 2 * which - 1, base = (pit.fair_q8 >> 8) + which, tick
    tick = _sample(pit.tables[PLACE_DISTANCE], _draw(&pit.random))
    if (ladder.best - base) * outward > 0:
        base = ladder.best
    tick = base + outward * tick
    if tick < 1 or (ladder.far - tick) * outward >= WINDOW - 1 or (tick - ladder.best) * outward >= WINDOW - 1:
        return                                               # outside the ring: nobody quotes there
    _join(pit, which, tick, 1 + _sample(pit.tables[TOUCH_LOTS if tick == ladder.best else LIMIT_LOTS], _draw(&pit.random)))


cdef void _cancel_order(Pit* pit, int which) noexcept nogil:
    """A cancellation at a distance, the likelier the more orders stand there; newer ones go first."""
    cdef Ladder* ladder = &pit.ladders[which]
    cdef uint64_t bits = _draw(&pit.random)
    cdef int64_t tick = ladder.best + (2 * which - 1) * _sample(pit.tables[CANCEL_DISTANCE], bits)
    cdef int64_t older = (bits >> 18) & OLDER_MAX if (bits >> 16) & 3 == 0 else 0
    cdef Queue* queue
    cdef int32_t index
    if (tick - ladder.far) * (2 * which - 1) > 0:
        return
    queue = _queue(pit, which, tick)                         # of this tick: no level lies beyond the far one
    if queue.count == 0 or <int64_t> (bits & 0xFFFF) * (queue.count + pit.rule.crowd) >> 16 >= queue.count:
        return
    index = queue.last
    while older > 0 and pit.orders[index].previous != NONE:
        index = pit.orders[index].previous
        older -= 1
    _pull(pit, which, tick, index)


cdef void _order_action(Pit* pit) noexcept nogil:
    """One action of a depth message: an order that follows the price, a new one, or a cancellation."""
    cdef uint64_t bits = _draw(&pit.random)
    cdef int which = bits & 1
    cdef int64_t left = pit.left[which], placing
    cdef Queue* queue
    if left != 0 and <int64_t> ((bits >> 1) & 0xFF) < pit.rule.follow:
        queue = _queue(pit, which, left)
        if (left - pit.ladders[which].best) * (2 * which - 1) <= 0 or queue.count == 0 \
                or (pit.ladders[which].far - left) * (2 * which - 1) < 0:
            pit.left[which] = 0                              # the price came back, or all have gone
        else:
            _pull(pit, which, left, queue.last)
        return
    placing = pit.rule.crash_placing if _panics(pit) else pit.rule.placing
    if <int64_t> ((bits >> 9) & 0xFF) < placing:
        _place_order(pit, which)
    else:
        _cancel_order(pit, which)


cdef void _pull_stale(Pit* pit, int stale) noexcept nogil:
    """Makers who noticed that the fair price has passed their quotes withdraw them, the newest first."""
    cdef Ladder* ladder = &pit.ladders[stale]
    cdef int count
    for count in range(PULL_MAX):
        if _stale(pit) != stale or not _pull(pit, stale, ladder.best, _queue(pit, stale, ladder.best).last):
            break


cdef void _tighten(Pit* pit, int which) noexcept nogil:
    """Close the gap between the best price and the best that is not stale, with orders that make a new touch."""
    cdef Ladder* ladder = &pit.ladders[which]
    cdef int64_t outward = 2 * which - 1, fair = pit.fair_q8 >> 8, anchor, count
    anchor = min(pit.ladders[ASK].best - 1, fair) if which == BID else max(pit.ladders[BID].best + 1, fair + 1)
    if (ladder.best - anchor) * outward <= 0 or anchor < 1 or (ladder.far - anchor) * outward >= WINDOW - 1:
        return
    if _queue(pit, which, ladder.best).count >= FOLLOW_MIN:
        pit.left[which] = ladder.best
    for count in range(pit.rule.touch_orders):
        _join(pit, which, anchor, 1 + _sample(pit.tables[TOUCH_LOTS], _draw(&pit.random)))


cdef void _requote(Pit* pit) noexcept nogil:
    """Makers look at the fair price: stale quotes go, and a touch that is behind it comes nearer."""
    cdef uint64_t bits = _draw(&pit.random)
    cdef int stale
    cdef int64_t tighten = pit.rule.crash_tighten if _panics(pit) else pit.rule.tighten
    if pit.partner != NULL and <int64_t> ((bits >> 24) & 0xFF) < pit.rule.watch:
        _watch(pit)
    stale = _stale(pit)
    if stale != NEITHER and <int64_t> (bits & 0xFF) < pit.rule.notice:
        _pull_stale(pit, stale)
        stale = _stale(pit)
    if stale != BID and <int64_t> ((bits >> 8) & 0xFF) < tighten:
        _tighten(pit, BID)
    if stale != ASK and <int64_t> ((bits >> 16) & 0xFF) < tighten:
        _tighten(pit, ASK)


cdef void _withdraw_orders(Pit* pit, int which) noexcept nogil:
    """Cancel what lies farther behind the touch than anybody quotes, a bounded number of orders at a time."""
    cdef Ladder* ladder = &pit.ladders[which]
    cdef int64_t outward = 2 * which - 1
    cdef int count = 0
    while (ladder.far - ladder.best) * outward > pit.rule.reach and ladder.levels > LEVELS_MIN and count < FAR_MAX:
        if _lots(pit, which, ladder.far) == 0:
            ladder.far -= outward
        else:
            _pull(pit, which, ladder.far, _queue(pit, which, ladder.far).last)
            count += 1


cdef void _order_depth(Sink* sink, Pit* pit, int64_t rows_max) noexcept nogil:
    """A depth message of makers' actions, of at most `rows_max` rows."""
    cdef int64_t burst = 1 + ((pit.rule.burst_mean - 1) * _sample(exponential, _draw(&pit.random)) >> 20), _
    cdef int64_t feed_ns = _feed(sink)
    _begin(pit)
    if rows_max >= RULE_ROWS_MAX:
        _requote(pit)
    for _ in range(min(burst, rows_max, ACTIONS_MAX)):
        _order_action(pit)
    if rows_max >= RULE_ROWS_MAX:
        _withdraw_orders(pit, BID)
        _withdraw_orders(pit, ASK)
    _close(sink, pit, feed_ns)


cdef void _quick_depth(Sink* sink, Pit* pit) noexcept nogil:
    """A depth message of makers who only look at the fair price."""
    cdef int64_t feed_ns = _feed(sink)
    _begin(pit)
    _requote(pit)
    _close(sink, pit, feed_ns)


cdef int64_t _execute(Sink* sink, Pit* pit, int which, int64_t left, int64_t feed_ns) noexcept nogil:
    """Take up to `left` lots from the first order of the best price; what was taken, 0 when it gives none."""
    cdef int64_t tick = pit.ladders[which].best, taken
    cdef Queue* queue = _queue(pit, which, tick)
    cdef int32_t index = queue.first
    cdef Order* order = &pit.orders[index]
    cdef Py_ssize_t first = sink.level_count
    taken = min(left, order.lots)
    if taken == order.lots and queue.count == 1 and not _may_empty(pit, which, tick):
        taken = order.lots - 1                               # a book that thin gives no more than this
    if taken == 0:
        return 0
    pit.trade_id += 1
    if pit.by_order:
        _order_row(pit, ORDER_EXECUTE, which, tick, taken, order.id)
    else:
        _level(sink, SELL - which, tick, taken)              # who takes asks buys
        _batch(sink, pit, TRADE, pit.trade_id, first, LAST_IN_BATCH, feed_ns)
    order.lots -= taken
    if order.lots == 0:
        _remove(pit, which, tick, index)
    _set(pit, which, tick, _lots(pit, which, tick) - taken)
    return taken


cdef void _market_order(Sink* sink, Pit* pit, int which) noexcept nogil:
    """A market order on a side: one trade for each order it takes. While quotes are stale it takes no others.

    The fair price follows for a part of the way where levels were taken whole.
    """
    cdef int64_t left = 1 + _sample(pit.tables[MARKET_LOTS], _draw(&pit.random)), taken, feed_ns = _feed(sink)
    cdef int64_t before = pit.ladders[which].best, moved
    cdef bint informed = _stale(pit) == which
    cdef int prints = 0, swept = 0
    if informed:
        left *= pit.rule.informed_lots
    _begin(pit)
    while left > 0 and prints < PRINTS_MAX and swept < SWEEP_MAX and (not informed or _stale(pit) == which):
        moved = pit.ladders[which].best
        taken = _execute(sink, pit, which, left, feed_ns)
        if taken == 0:
            break
        left -= taken
        prints += 1
        swept += pit.ladders[which].best != moved
    _close(sink, pit, feed_ns)
    moved = (pit.ladders[which].best - before) * pit.rule.impact
    if not informed and pit.fair_low_q8 <= pit.fair_q8 + moved <= pit.fair_high_q8:
        pit.fair_q8 += moved
        pit.excess_q8 += moved


cdef void _close(Sink* sink, Pit* pit, int64_t feed_ns) noexcept nogil:
    """End a message: the levels it changed, or the rows of its orders."""
    if pit.by_order:
        _publish_orders(sink, pit, 0, feed_ns)
    else:
        _publish(sink, pit, feed_ns)


cdef void _publish_orders(Sink* sink, Pit* pit, int flags, int64_t feed_ns) noexcept nogil:
    """The rows since the last batch as one message: a batch for each run of rows of one kind."""
    cdef Py_ssize_t first = sink.row_closed, last = first, i
    cdef int64_t local_ns = max(sink.last_local_ns, pit.next_ns + feed_ns)
    pit.sequence += sink.row_count - first
    while first < sink.row_count:
        while last < sink.row_count and sink.rows[last].kind == sink.rows[first].kind:
            last += 1
        for i in range(first, last):
            sink.rows[i].ts_exchange_ns, sink.rows[i].ts_local_ns = pit.next_ns, local_ns
            sink.rows[i].sequence = pit.sequence
            sink.rows[i].flags = <uint16_t> (AT_VENUE | AT_LOCAL | flags)
        _batch(sink, pit, sink.rows[first].kind, pit.sequence, 0,
               flags | (LAST_IN_BATCH if last == sink.row_count else 0), feed_ns)
        sink.batches[sink.batch_count - 1].first = <uint32_t> first
        sink.batches[sink.batch_count - 1].count = <uint32_t> (last - first)
        sink.batches[sink.batch_count - 1].encoding = ROWS
        first = last
    if last > sink.row_closed:
        sink.rows[last - 1].flags |= LAST_IN_BATCH
    sink.row_closed = last


cdef void _open_orders(Pit* pit, int64_t price_ticks, int64_t depth) noexcept nogil:
    """A book of orders in its stationary state around the price, at most `depth` orders a side; no time passes."""
    cdef int which, i
    cdef bint by_order = pit.by_order
    cdef Ladder* ladder
    cdef Queue* queue
    pit.by_order = False                                     # nothing of this is told
    for i in range(ORDERS_MAX):
        pit.orders[i].next = i + 1 if i + 1 < ORDERS_MAX else NONE
    for i in range(2 * WINDOW):
        pit.queues[i].first = pit.queues[i].last = NONE
    for which in range(2):
        _begin(pit)
        _join(pit, which, price_ticks + which, 1 + _sample(pit.tables[TOUCH_LOTS], _draw(&pit.random)))
    for i in range(WARM_UP):
        _begin(pit)
        _order_action(pit)
    for which in range(2):
        ladder = &pit.ladders[which]
        while pit.resting[which] > depth:
            _begin(pit)
            queue = _queue(pit, which, ladder.far)
            if queue.count == 0:
                ladder.far -= 2 * which - 1
            else:
                i = queue.last
                _set(pit, which, ladder.far, _lots(pit, which, ladder.far) - pit.orders[i].lots)
                _remove(pit, which, ladder.far, i)
    pit.by_order = by_order
    pit.order_id = 0                                         # ids are told from here on
    for which in range(2):
        _number(pit, which)


cdef void _number(Pit* pit, int which) noexcept nogil:
    """Give a side's orders new ids, from the touch outwards and the front of a queue first."""
    cdef int64_t tick = pit.ladders[which].best, left = pit.resting[which]
    cdef int32_t index
    while left > 0:
        index = _queue(pit, which, tick).first if _queue(pit, which, tick).count > 0 else NONE
        while index != NONE:
            pit.order_id += 1
            pit.orders[index].id = pit.order_id
            left -= 1
            index = pit.orders[index].next
        tick += 2 * which - 1


cdef void _snapshot_orders(Sink* sink, Pit* pit, int64_t feed_ns) noexcept nogil:
    """All orders from the touch outwards, bids first, the front of each queue first."""
    cdef int64_t tick, left
    cdef int32_t index
    cdef int which
    for which in range(2):
        tick, left = pit.ladders[which].best, pit.resting[which]
        while left > 0:
            index = _queue(pit, which, tick).first if _queue(pit, which, tick).count > 0 else NONE
            while index != NONE:
                _order_row(pit, ORDER_ADD, which, tick, pit.orders[index].lots, pit.orders[index].id)
                left -= 1
                index = pit.orders[index].next
            tick += 2 * which - 1
    _publish_orders(sink, pit, SNAPSHOT, feed_ns)


cdef int64_t _queued(Pit* pit, int which, int64_t tick) noexcept nogil:
    """Lots of a level's orders, walked from both ends; -1 when the walks do not agree."""
    cdef Queue* queue = _queue(pit, which, tick)
    cdef int64_t lots = 0
    cdef int32_t index = queue.first, last = NONE
    cdef int i
    if queue.count == 0:
        return 0
    for i in range(queue.count):
        if index == NONE or pit.orders[index].previous != last or pit.orders[index].lots <= 0:
            return -1
        lots += pit.orders[index].lots
        last, index = index, pit.orders[index].next
    return lots if index == NONE and last == queue.last else -1


cdef int64_t _unused(Pit* pit) noexcept nogil:
    """Places for orders that are free."""
    cdef int64_t count = 0
    cdef int32_t index = pit.free
    while index != NONE and count <= ORDERS_MAX:
        count += 1
        index = pit.orders[index].next
    return count
