"""The seeded market generator: Poisson order flow on aggregate books, as packed tape rows.

Orders arrive, are cancelled and are hit at random around a fair price that moves in jumps; whoever still quotes on the
wrong side of it is swept or withdraws. Everything that decides a row is an integer from integer tables, so one seed
gives the same rows on every machine.

Source: the zero-intelligence flow of Smith, Farmer, Gillemot and Krishnamurthy, "Statistical theory of the continuous
double auction", Quantitative Finance 3 (2003), sections 2-3, with a power law of placement distances (Zovko and Farmer,
"The power of patience", Quantitative Finance 2 (2002)) and informed traders as in Glosten and Milgrom, "Bid, ask and
transaction prices", Journal of Financial Economics 14 (1985).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from math import isqrt

from apex._core.events import BATCH_DTYPE, LEVEL_DTYPE

from apex._core.events cimport (
    AT_LOCAL, AT_VENUE, BOOK_LEVEL, LAST_IN_BATCH, LEVELS, SNAPSHOT, SNAPSHOT_BEGIN, TRADE,
)

cdef enum:
    BID = 0
    ASK = 1
    EXPS = 1024              # quantiles of the exponential distribution
    DISTANCES = 1024         # cells of the distance tables, = REACH
    BURSTS = 16
    SIZES = 16
    WARM_UP = 60_000         # actions before the first snapshot
    INSTRUMENTS_MAX = 64
    ROWS_MIN = 16            # of one instrument: a snapshot and a little life

cdef int64_t MICROSECOND = 1000
cdef int64_t FEED_BASE_NS = 600_000
cdef int64_t FEED_MEAN_NS = 250_000
cdef int64_t FEED_SPIKE_NS = 4_000_000
cdef int64_t LOTS_MAX = 1 << 40
cdef int64_t FLOW_MAX = 40_000

START_NS = 1_767_225_600_000_000_000  # 2026-01-01 00:00:00 UTC
PRICE_TICKS_MIN = 1_024
PRICE_TICKS_MAX = 1 << 29
COUNT_MAX = INSTRUMENTS_MAX
ROWS_LEAST = ROWS_MIN

cdef uint32_t exponential[EXPS]     # -ln(u) in 1/2^20
cdef Odds place_odds[DISTANCES]     # ticks behind the best possible price
cdef Odds cancel_odds[DISTANCES]    # ticks behind the own best
cdef Odds burst_odds[BURSTS]        # actions of a message, less one
cdef Odds limit_odds[SIZES]         # log2 of the lots of a limit order
cdef Odds market_odds[SIZES]        # log2 of the lots of a market order
cdef Regime regimes[3]              # calm, busy, stormy

regimes[0] = Regime(2_500_000, 400, 14, 256, 12)
regimes[1] = Regime(1_000_000, 512, 16, 128, 16)
regimes[2] = Regime(300_000, 640, 24, 256, 21)


# ---- tables, made once from integers -----------------------------------------------------------------------------------

cdef uint32_t _minus_ln(uint64_t numerator, int power) noexcept nogil:
    """-ln(numerator / 2^power) in 1/2^20, by squaring; 0 < numerator < 2^power <= 2^31."""
    cdef int whole = 0, i
    cdef uint64_t mantissa, log2 = 0
    while numerator >> (whole + 1):
        whole += 1
    mantissa = numerator << (31 - whole)              # in [1, 2) with 31 bits
    for i in range(24):
        mantissa = (mantissa * mantissa) >> 31        # < 2^33
        log2 <<= 1
        if mantissa >> 32:
            mantissa >>= 1
            log2 |= 1
    # (power - log2) * ln 2: 24 bits times 32 bits of ln 2, kept to 20.
    return <uint32_t> (((((<uint64_t> (power - whole)) << 24) - log2) * 2977044472ULL) >> 36)


cdef int _odds(Odds* table, list weights) except -1:
    """Alias table (Walker 1977; Vose 1991) of integer weights: an index in O(1) from one random word."""
    count, total = len(weights), sum(weights)
    share = [weight * count for weight in weights]
    small = [i for i in range(count) if share[i] < total]
    large = [i for i in range(count) if share[i] >= total]
    for i in range(count):
        table[<int> i].limit, table[<int> i].other = 0xFFFFFFFF, i
    while small and large:
        low, high = small.pop(), large[-1]
        table[<int> low].limit, table[<int> low].other = (share[low] << 32) // total, high
        share[high] -= total - share[low]
        if share[high] < total:
            small.append(large.pop())
    return 0


def _tables():
    cdef int i
    for i in range(EXPS):
        exponential[i] = _minus_ln(2 * i + 1, 11)
    scale = 1 << 80
    _odds(place_odds, [scale // isqrt((d + 6) ** 3) for d in range(DISTANCES)])
    _odds(cancel_odds, [scale // isqrt((d + 4) ** 3) for d in range(DISTANCES)])
    _odds(burst_odds, [1000, 620, 400, 260, 180, 120, 80, 60, 45, 34, 26, 20, 16, 13, 11, 10])
    _odds(limit_odds, [40, 60, 80, 110, 140, 160, 160, 130, 90, 50, 26, 12, 5, 2, 0, 0])
    _odds(market_odds, [60, 80, 110, 140, 150, 130, 100, 80, 60, 40, 24, 14, 8, 4, 0, 0])


_tables()


# ---- random numbers ----------------------------------------------------------------------------------------------------

cdef uint64_t _split(uint64_t* seed) noexcept nogil:
    """SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): expands a seed into generator states."""
    cdef uint64_t z
    seed[0] += 0x9E3779B97F4A7C15ULL
    z = seed[0]
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL
    return z ^ (z >> 31)


cdef inline uint64_t _rotate(uint64_t x, int k) noexcept nogil:
    return (x << k) | (x >> (64 - k))


cdef inline uint64_t _draw(Random* random) noexcept nogil:
    """xoshiro256** (Blackman and Vigna, ACM TOMS 47, 2021): 64 random bits."""
    cdef uint64_t* s = random.state
    cdef uint64_t result = _rotate(s[1] * 5, 7) * 9, t = s[1] << 17
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = _rotate(s[3], 45)
    return result


cdef inline uint32_t _pick(const Odds* table, uint32_t count, uint64_t bits) noexcept nogil:
    """An index of an alias table; count is a power of two <= 2^16, bits are the upper 48 of a draw."""
    cdef uint32_t cell = <uint32_t> (bits >> 48) & (count - 1)
    return cell if <uint32_t> (bits >> 16) < table[cell].limit else table[cell].other


cdef inline int64_t _size(const Odds* table, Random* random) noexcept nogil:
    """Lots of an order: a power of two from the table, then uniform up to the next; >= 1."""
    cdef uint64_t bits = _draw(random)
    cdef uint32_t power = _pick(table, SIZES, bits)          # < 16
    return (1LL << power) + <int64_t> (bits & 0xFFFF & ((1ULL << power) - 1))


# ---- the book ----------------------------------------------------------------------------------------------------------

cdef inline int64_t _lots(const Pit* pit, int half, int64_t tick) noexcept nogil:
    return pit.halves[half].cells[tick & (WINDOW - 1)].lots


cdef void _set(Pit* pit, int which, int64_t tick, int64_t lots) noexcept nogil:
    """Put a price's total, and note the change. The tick lies within WINDOW of all levels; one level always stays."""
    cdef Half* half = &pit.halves[which]
    cdef Cell* cell = &half.cells[tick & (WINDOW - 1)]
    cdef int64_t outward = 2 * which - 1, before = cell.lots
    if cell.message != pit.message:                          # at most CHANGES_MAX prices a message, by its bounds
        cell.message = pit.message
        pit.changes[pit.change_count].tick = tick
        pit.changes[pit.change_count].before = before
        pit.changes[pit.change_count].half = which
        pit.change_count += 1
    cell.lots = lots
    if before == 0 and lots > 0:
        if half.levels == 0:
            half.best = half.far = tick
        half.levels += 1
        if (half.best - tick) * outward > 0:
            half.best = tick
        if (tick - half.far) * outward > 0:
            half.far = tick
    elif before > 0 and lots == 0:
        half.levels -= 1
        if tick == half.best and half.levels > 0:
            while half.cells[half.best & (WINDOW - 1)].lots == 0:
                half.best += outward


cdef bint _may_empty(const Pit* pit, int which, int64_t tick) noexcept nogil:
    """Whether a level may go: enough others stay, and without the best the spread stays within its bound."""
    cdef const Half* half = &pit.halves[which]
    cdef int64_t outward = 2 * which - 1, after
    if half.levels <= LEVELS_MIN:
        return False
    if tick != half.best:
        return True
    after = half.best + outward
    while half.cells[after & (WINDOW - 1)].lots == 0:        # ends: LEVELS_MIN levels stay
        after += outward
    return (after - pit.halves[1 - which].best) * outward <= SPREAD_MAX


# ---- what can happen ---------------------------------------------------------------------------------------------------

cdef inline bint _stale(const Pit* pit, int which) noexcept nogil:
    """Whether the best of a side is on the wrong side of the fair price."""
    cdef int64_t fair = pit.fair_q8 >> 8
    return pit.halves[BID].best > fair if which == BID else pit.halves[ASK].best <= fair


cdef void _place(Pit* pit, int which) noexcept nogil:
    """A limit order: behind the best price that neither crosses nor passes the fair one."""
    cdef int64_t outward = 2 * which - 1, anchor, tick, lots, fair = pit.fair_q8 >> 8
    cdef Half* half = &pit.halves[which]
    if which == BID:
        anchor = min(pit.halves[ASK].best - 1, fair)
    else:
        anchor = max(pit.halves[BID].best + 1, fair + 1)
    tick = anchor + outward * <int64_t> _pick(place_odds, DISTANCES, _draw(&pit.random))
    if tick < 1 or (half.far - tick) * outward >= WINDOW - 1 or (tick - half.best) * outward >= WINDOW - 1:
        return                                               # outside the ring: nobody quotes there
    lots = _lots(pit, which, tick)
    if lots < LOTS_MAX:
        _set(pit, which, tick, lots + _size(limit_odds, &pit.random))


cdef void _cancel(Pit* pit, int which) noexcept nogil:
    """A cancellation: a share of the queue at a level, so in proportion to what stands there."""
    cdef Half* half = &pit.halves[which]
    cdef int64_t outward = 2 * which - 1, tick, lots
    cdef uint64_t bits = _draw(&pit.random)
    tick = half.best + outward * <int64_t> _pick(cancel_odds, DISTANCES, bits)
    if (tick - half.far) * outward > 0:
        tick = half.best
    while _lots(pit, which, tick) == 0:                      # ends: the walk is towards the best, which is occupied
        tick -= outward
    lots = _lots(pit, which, tick)
    if (bits & 0xF) < 9 and _may_empty(pit, which, tick):
        _set(pit, which, tick, 0)
    elif lots > 1:
        _set(pit, which, tick, lots - max(1, lots * (1 + <int64_t> ((bits >> 4) & 7)) >> 4))


cdef void _act(Pit* pit) noexcept nogil:
    """One action of a depth message: a stale quote withdrawn, an order placed, or one cancelled."""
    cdef uint64_t bits = _draw(&pit.random)
    cdef int which = ASK if _stale(pit, ASK) else BID
    cdef int64_t lean = <int64_t> (bits & 0xFFFF) - 32768
    if (bits >> 16) & 3 and _stale(pit, which) and _may_empty(pit, which, pit.halves[which].best):
        _set(pit, which, pit.halves[which].best, 0)
    elif (bits >> 20) & 0x1FF < 262:
        _place(pit, BID if lean < pit.flow // 3 else ASK)
    else:
        _cancel(pit, ASK if lean < pit.flow // 3 else BID)


cdef void _withdraw(Pit* pit, int which) noexcept nogil:
    """Cancel what lies more than REACH behind the touch, a bounded number of levels at a time."""
    cdef Half* half = &pit.halves[which]
    cdef int64_t outward = 2 * which - 1
    cdef int count = 0
    while (half.far - half.best) * outward > REACH and half.levels > LEVELS_MIN and count < WITHDRAW_MAX:
        if _lots(pit, which, half.far) != 0:
            _set(pit, which, half.far, 0)
            count += 1
        half.far -= outward


cdef void _jump(Pit* pit, const Regime* regime) noexcept nogil:
    """Move the fair price, along the order flow a little more often than against it; and perhaps the regime."""
    cdef uint64_t bits = _draw(&pit.random)
    cdef int64_t size = (<int64_t> exponential[bits & (EXPS - 1)] * pit.jump_q8 * regime.jump_scale) >> 24
    cdef bint up = <int64_t> ((bits >> 10) & 0xFFFF) - 32768 < pit.flow // 4
    if pit.fair_q8 + size > pit.fair_high_q8:
        up = False
    if pit.fair_q8 - size < pit.fair_low_q8:
        up = True
    pit.fair_q8 += size if up else -size
    if ((bits >> 26) & 0xFFFF) < regime.leave:
        if pit.regime == 1:
            pit.regime = 2 if ((bits >> 42) & 3) == 0 else 0
        else:
            pit.regime = 1


# ---- rows --------------------------------------------------------------------------------------------------------------

cdef void _batch(Sink* sink, Pit* pit, int kind, uint64_t sequence, Py_ssize_t first, int flags, int64_t feed_ns) \
        noexcept nogil:
    """Close a batch over the levels from `first` on. Local times rise strictly: no message overtakes another."""
    cdef Batch* batch = &sink.batches[sink.batch_count]
    sink.batch_count += 1
    sink.last_local_ns = max(sink.last_local_ns + 1, pit.next_ns + feed_ns)
    batch.ts_exchange_ns = pit.next_ns
    batch.ts_local_ns = sink.last_local_ns
    batch.sequence = sequence
    batch.first = <uint32_t> first
    batch.count = <uint32_t> (sink.level_count - first)
    batch.instrument = pit.index
    batch.flags = <unsigned short> (AT_VENUE | AT_LOCAL | flags)
    batch.kind = <uint8_t> kind
    batch.encoding = LEVELS


cdef inline void _level(Sink* sink, int side, int64_t tick, int64_t lots) noexcept nogil:
    cdef Level* level = &sink.levels[sink.level_count]
    sink.level_count += 1
    memset(level, 0, sizeof(Level))
    level.quantity_lots = lots
    level.price_ticks = <int32_t> tick                       # |tick| < 2^31: PRICE_TICKS_MAX * 2 + WINDOW
    level.side = <uint8_t> side


cdef int64_t _feed(Sink* sink) noexcept nogil:
    """Delay of the feed in ns: a floor, an exponential part, and a rare spike."""
    cdef uint64_t bits = _draw(&sink.random)
    cdef int64_t delay = FEED_BASE_NS + ((FEED_MEAN_NS * <int64_t> exponential[bits & (EXPS - 1)]) >> 20)
    if ((bits >> 10) & 0x7FF) == 0:
        delay += (FEED_SPIKE_NS * <int64_t> exponential[(bits >> 32) & (EXPS - 1)]) >> 20
    return delay


cdef void _publish(Sink* sink, Pit* pit, int64_t feed_ns) noexcept nogil:
    """The message's changes as one depth batch, bids first; what ended as it began is left out."""
    cdef Py_ssize_t first = sink.level_count
    cdef int i, which
    cdef int64_t lots
    for which in range(2):
        for i in range(pit.change_count):
            if pit.changes[i].half == which:
                lots = _lots(pit, which, pit.changes[i].tick)
                if lots != pit.changes[i].before:
                    _level(sink, which + 1, pit.changes[i].tick, lots)
    if sink.level_count > first:
        pit.sequence += sink.level_count - first
        _batch(sink, pit, BOOK_LEVEL, pit.sequence, first, LAST_IN_BATCH, feed_ns)


cdef void _take(Sink* sink, Pit* pit) noexcept nogil:
    """A market order: one trade a level, then the levels it changed. An informed one stops at the fair price."""
    cdef uint64_t bits = _draw(&pit.random)
    cdef int64_t fair = pit.fair_q8 >> 8, left = _size(market_odds, &pit.random), tick, lots, taken, feed_ns
    cdef bint informed = (_stale(pit, BID) or _stale(pit, ASK)) and (bits >> 16) & 0xF
    cdef int which, swept = 0
    cdef Py_ssize_t first
    if informed:
        which = BID if _stale(pit, BID) else ASK
        left <<= 3
    else:
        which = ASK if <int64_t> (bits & 0xFFFF) - 32768 < pit.flow // 2 else BID
    feed_ns = _feed(sink)
    while left > 0 and swept < SWEEP_MAX:
        tick = pit.halves[which].best
        if informed and not _stale(pit, which):
            break
        lots = _lots(pit, which, tick)
        taken = min(left, lots)
        if taken == lots and not _may_empty(pit, which, tick):
            taken, left = lots - 1, lots - 1
            if taken == 0:
                break
        first = sink.level_count
        _level(sink, 2 - which, tick, taken)                 # the aggressor's side is the other one
        pit.trade_id += 1
        _batch(sink, pit, TRADE, pit.trade_id, first, LAST_IN_BATCH, feed_ns)
        _set(pit, which, tick, lots - taken)
        left -= taken
        swept += 1
    _publish(sink, pit, feed_ns)


cdef class Market:
    def __cinit__(self, seed, rows, price_ticks):
        """See Market in market.pyi."""
        cdef uint64_t state
        cdef int i, k
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"seed {seed} is not in 0 .. 2^64 - 1")
        if not 1 <= len(price_ticks) <= INSTRUMENTS_MAX:
            raise ValueError(f"{len(price_ticks)} instruments: give 1 to {INSTRUMENTS_MAX}")
        if not ROWS_MIN * len(price_ticks) <= rows < 1 << 62:
            raise ValueError(f"{rows} rows: give at least {ROWS_MIN} an instrument")
        for price in price_ticks:
            if not PRICE_TICKS_MIN <= price <= PRICE_TICKS_MAX:
                raise ValueError(f"a price of {price} ticks is not in {PRICE_TICKS_MIN} .. {PRICE_TICKS_MAX}")
        self.count = len(price_ticks)
        self.pits = <Pit*> calloc(self.count, sizeof(Pit))
        if self.pits == NULL:
            raise MemoryError("no memory for the market's books")
        self.rows_left = rows
        state = seed
        for k in range(4):
            self.sink.random.state[k] = _split(&state)
        for i in range(self.count):
            for k in range(4):
                self.pits[i].random.state[k] = _split(&state)
            self.pits[i].index = <uint32_t> i
            self._open(&self.pits[i], price_ticks[i])

    def __dealloc__(self):
        free(self.pits)

    cdef void _open(self, Pit* pit, int64_t price_ticks) noexcept nogil:
        """A book in its stationary state around the price, before time begins."""
        cdef int i
        pit.fair_q8 = (price_ticks << 8) + 128
        pit.fair_low_q8, pit.fair_high_q8 = price_ticks << 7, price_ticks << 9
        pit.jump_q8 = min(max((price_ticks << 8) // 37_500, 128), 64 << 8)
        pit.regime = 1
        pit.next_ns = START_NS_C + pit.index * MICROSECOND
        pit.message = 1
        _set(pit, BID, price_ticks, 100)
        _set(pit, ASK, price_ticks + 1, 100)
        for i in range(WARM_UP):
            pit.message += 1
            pit.change_count = 0
            _act(pit)
