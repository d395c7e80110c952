# Arrivals, news and crashes, part of market.pyx: when things happen where an instrument has rules.
#
# Market orders excite market orders (a Hawkes process of two sides and KERNELS exponential time scales), news excites
# news. Next times are drawn from the sum of all rates, which only falls until something happens, and thinned when they
# come: Ogata, "On Lewis' simulation method for point processes", IEEE Transactions on Information Theory 27 (1981).

cdef enum:
    RATES = 7

cdef int64_t EVER = <int64_t> 1 << 32                        # ns; no step lies farther ahead
cdef int64_t NEVER = <int64_t> 1 << 62
cdef int64_t RATE_MAX = 1 << 30                              # of one part of a rate: all together stay below 2^35
cdef int64_t NEWS_GAP = 2_000_000                            # ns between common news: 500 at most are unheard for 1 s


cdef int64_t _cooled(int64_t heat, int64_t elapsed_ns, int64_t lasts_ns) noexcept nogil:
    """What is left of a rate after a time: heat * exp(-elapsed / lasts), by a table."""
    cdef int64_t x = (elapsed_ns << 16) // lasts_ns, cell = x >> 10, part = x & 1023
    if cell >= CELLS:
        return 0
    return heat * (decay[cell] + ((decay[cell + 1] - decay[cell]) * part >> 10)) >> 30


cdef void _cool(Pit* pit, int64_t now_ns) noexcept nogil:
    """Let all excitation fade until now."""
    cdef int64_t elapsed = now_ns - pit.heat_ns
    cdef int side, k
    for side in range(2):
        for k in range(KERNELS):
            if pit.heat[side][k] > 0:
                pit.heat[side][k] = _cooled(pit.heat[side][k], elapsed, pit.rule.heat_ns[k])
    if pit.news_heat > 0:
        pit.news_heat = _cooled(pit.news_heat, elapsed, pit.rule.news_ns)
    pit.heat_ns = now_ns


cdef inline int64_t _sum(const int64_t* heat) noexcept nogil:
    cdef int64_t total = 0
    cdef int k
    for k in range(KERNELS):
        total += heat[k]
    return total


cdef void _excite(Pit* pit, int side) noexcept nogil:
    """A market order calls for more of its side, and for some of the other."""
    cdef int k
    for k in range(KERNELS):
        pit.heat[side][k] = min(pit.heat[side][k] + pit.rule.self_gain[k], RATE_MAX)
        pit.heat[1 - side][k] = min(pit.heat[1 - side][k] + pit.rule.cross_gain[k], RATE_MAX)


cdef int64_t _rates(Pit* pit, int64_t* rates) noexcept nogil:
    """Rates of buys, sells, news, a change of regime, depth messages, hurried quotes and a new parent; their sum."""
    cdef int stale = _stale(pit)
    cdef int64_t buys = _sum(pit.heat[0]), sells = _sum(pit.heat[1]), base = pit.rule.market_rate[pit.regime]
    rates[0] = base + (base * pit.flow >> 15) + buys + (pit.rule.informed_rate if stale == ASK else 0)
    rates[1] = base - (base * pit.flow >> 15) + sells + (pit.rule.informed_rate if stale == BID else 0)
    if pit.phase == 1:
        rates[1] += pit.rule.crash_rate
    rates[2] = pit.rule.news_rate[pit.regime] + pit.news_heat
    rates[3] = pit.rule.leave_rate[pit.regime]
    rates[4] = pit.rule.depth_rate[pit.regime] + min((buys + sells) * pit.rule.echo >> 8, RATE_MAX)
    rates[5] = 0
    if stale == NEITHER and pit.ladders[ASK].best - pit.ladders[BID].best > 1 and not _panics(pit):
        rates[5] = pit.rule.hurry
    rates[6] = pit.rule.parent_rate[pit.patience]
    return rates[0] + rates[1] + rates[2] + rates[3] + rates[4] + rates[5] + rates[6]


# ---- the fair price ----------------------------------------------------------------------------------------------------

cdef void _shift(Pit* pit, int64_t size_q8) noexcept nogil:
    """Move the fair price within its bounds, and alarm the traders of that direction."""
    cdef int side
    if pit.fair_q8 + size_q8 > pit.fair_high_q8:
        size_q8 = -size_q8 if size_q8 > 0 else size_q8
    elif pit.fair_q8 + size_q8 < pit.fair_low_q8:
        size_q8 = -size_q8 if size_q8 < 0 else size_q8
    pit.fair_q8 += size_q8
    side = 0 if size_q8 > 0 else 1
    pit.heat[side][0] = min(pit.heat[side][0] + pit.rule.alarm_gain, RATE_MAX)


cdef void _news(Pit* pit) noexcept nogil:
    """News of this instrument alone: a jump that leans to where orders and the book lean; past ones are given back."""
    cdef uint64_t bits = _draw(&pit.random)
    cdef int64_t buys = _sum(pit.heat[0]), sells = _sum(pit.heat[1]), lean, size, back
    cdef int64_t bid = _lots(pit, BID, pit.ladders[BID].best), ask = _lots(pit, ASK, pit.ladders[ASK].best)
    lean = pit.rule.lean_flow * (buys - sells) // (buys + sells + 1) + pit.rule.lean_book * (bid - ask) // (bid + ask)
    size = (_sample(pit.tables[JUMP], bits) * (pit.rule.jump_q8 * pit.rule.jump_scale[pit.regime] // 16)) >> 20
    if not _leans(lean, bits):
        size = -size
    back = pit.excess_q8 * pit.rule.giveback // 256
    pit.excess_q8 += size - back
    pit.news_heat = min(pit.news_heat + pit.rule.news_gain, RATE_MAX)
    _shift(pit, size - back)


cdef void _watch(Pit* pit) noexcept nogil:
    """Makers look at the partner's price, and take it over when theirs is too far from it."""
    cdef int64_t gap = ((pit.partner.ladders[BID].best + pit.partner.ladders[ASK].best) << 7) - pit.fair_q8
    if gap > pit.rule.band_q8 or gap < -pit.rule.band_q8:
        _shift(pit, gap)


cdef void _tell(World* world) noexcept nogil:
    """The next common news."""
    cdef int64_t bound, wait
    cdef uint64_t bits
    cdef News* news
    while True:
        bound = world.rate + world.heat
        wait = min((_sample(exponential, _draw(&world.random)) << 28) // bound, EVER)
        world.now_ns += wait
        world.heat = _cooled(world.heat, wait, world.gain_ns)
        bits = _draw(&world.random)
        if wait < EVER and <int64_t> (bits >> 37) * bound >> 27 < world.rate + world.heat:
            break
    world.now_ns += NEWS_GAP
    world.heat = min(world.heat + world.gain, RATE_MAX)
    bits = _draw(&world.random)
    news = &world.ring[world.count & (NEWS_MAX - 1)]
    world.count += 1
    news.ts = world.now_ns
    news.size_q20 = _sample(world.sizes, bits)
    if bits & 1:
        news.size_q20 = -news.size_q20


cdef int64_t _heard_ns(Pit* pit) noexcept nogil:
    """When this instrument hears the next common news."""
    if pit.rule.beta == 0:
        return NEVER
    if pit.heard == pit.world.count:
        _tell(pit.world)
    return pit.world.ring[pit.heard & (NEWS_MAX - 1)].ts + pit.rule.lag_ns


cdef void _hear(Pit* pit) noexcept nogil:
    """Take in the common news that has come."""
    cdef int64_t size
    while _heard_ns(pit) <= pit.next_ns:
        size = pit.world.ring[pit.heard & (NEWS_MAX - 1)].size_q20
        pit.heard += 1
        _shift(pit, size * (pit.rule.jump_q8 * pit.rule.beta // 256) >> 20)


# ---- the crash ---------------------------------------------------------------------------------------------------------

cdef int64_t _phase_ns(const Pit* pit, int phase) noexcept nogil:
    """When a phase of the crash begins."""
    cdef int64_t ts = START_NS + pit.rule.crash_ns
    if phase > 1:
        ts += pit.rule.crash_fall_ns
    if phase > 2:
        ts += pit.rule.crash_rest_ns
    if phase > 3:
        ts += pit.rule.crash_recover_ns
    return ts


cdef void _crash(Pit* pit) noexcept nogil:
    """Move the fair price along the crash: faster and faster down, a rest, and slower and slower back up in part."""
    cdef int64_t part, fallen = pit.crash_q8, back = pit.crash_q8 * pit.rule.crash_back // 256
    if pit.rule.crash_ns == 0 or pit.phase == 4:
        return
    while pit.phase < 4 and pit.next_ns >= _phase_ns(pit, pit.phase + 1):
        pit.phase += 1
        if pit.phase == 1:
            pit.crash_q8 = pit.fair_q8 * pit.rule.crash_depth >> 16
            back = pit.crash_q8 * pit.rule.crash_back // 256
    if pit.phase == 0:
        return
    fallen = pit.crash_q8
    if pit.phase == 1:
        part = ((pit.next_ns - _phase_ns(pit, 1)) << 16) // pit.rule.crash_fall_ns
        fallen = pit.crash_q8 * (part * part >> 16) >> 16
    elif pit.phase == 3:
        part = ((_phase_ns(pit, 4) - pit.next_ns) << 16) // pit.rule.crash_recover_ns
        fallen = pit.crash_q8 - back + (back * (part * part >> 16) >> 16)
    elif pit.phase == 4:
        fallen = pit.crash_q8 - back
    pit.fair_q8 -= fallen - pit.fallen_q8
    pit.fallen_q8 = fallen


# ---- one step ----------------------------------------------------------------------------------------------------------

cdef void _schedule(Pit* pit) noexcept nogil:
    """Draw the next time at which something may happen; not beyond what comes by itself."""
    cdef int64_t rates[RATES]
    cdef int64_t bound = _rates(pit, rates), wait, due = NEVER
    if pit.phase == 1 or pit.phase == 3:
        bound += pit.rule.informed_rate + pit.rule.hurry     # quotes may have become stale when the time comes
    wait = (_sample(exponential, _draw(&pit.random)) << 28) // bound
    pit.bound = bound
    if wait >= EVER:
        wait, pit.bound = EVER, 0
    if pit.rule.crash_ns > 0 and pit.phase < 4:
        due = _phase_ns(pit, pit.phase + 1)
    due = min(due, _heard_ns(pit))
    if due <= pit.next_ns + wait:
        wait, pit.bound = max(due - pit.next_ns, 0), 0
    pit.next_ns += max(wait, 1)


cdef void _new_regime(Pit* pit) noexcept nogil:
    """Busy times come after calm and stormy ones; a storm after every fourth busy time."""
    cdef uint64_t bits = _draw(&pit.random)
    if pit.regime != 1:
        pit.regime = 1
    else:
        pit.regime = 2 if bits >> 62 == 0 else 0


cdef void _new_parent(Pit* pit) noexcept nogil:
    """Large orders that are worked for a while lean the flow of market orders: to a side, and for how long."""
    cdef uint64_t bits = _draw(&pit.random)
    pit.flow = (<int64_t> (bits & 0xFFFF) - 32768) * pit.rule.parent_lean >> 8
    bits = (bits >> 16) & 3
    pit.patience = 0 if bits < 2 else <int> bits - 1


cdef void _rule_step(Sink* sink, Pit* pit, int64_t rows_max) noexcept nogil:
    """What happens at the time that was drawn, if anything; then the next time."""
    cdef int64_t rates[RATES]
    cdef int64_t pick, bound = pit.bound
    cdef int what = 0
    _cool(pit, pit.next_ns)
    _hear(pit)
    _crash(pit)
    if bound > 0:
        _rates(pit, rates)
        pick = <int64_t> (_draw(&pit.random) >> 37) * bound >> 27
        while what < RATES and pick >= rates[what]:
            pick -= rates[what]
            what += 1
        if what == 2:
            _news(pit)
        elif what == 3:
            _new_regime(pit)
        elif what == 4 or (what != RATES and rows_max < RULE_ROWS_MAX):
            _order_depth(sink, pit, rows_max)
        elif what == 5:
            _quick_depth(sink, pit)
        elif what == 6:
            _new_parent(pit)
        elif what < 2:
            _market_order(sink, pit, ASK - what)
            _excite(pit, what)
    _schedule(pit)
