"""The seeded market generator: order flow on aggregate books, as packed tape rows.

Orders arrive, are cancelled and are hit at random around a fair price that moves in jumps; whoever still quotes on the
wrong side of it is swept by informed traders, or withdraws in time. Everything that decides a row is an integer from an
integer table, so one seed gives the same rows on every machine.

Source: the zero-intelligence flow of Smith, Farmer, Gillemot and Krishnamurthy, "Statistical theory of the continuous
double auction", Quantitative Finance 3 (2003), sections 2-3, with a power law of placement distances (Zovko and Farmer,
"The power of patience", Quantitative Finance 2 (2002)) and informed traders as in Glosten and Milgrom, "Bid, ask and
transaction prices", Journal of Financial Economics 14 (1985).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from decimal import Context, Decimal

import numpy as np

from apex._core.events import BATCH_DTYPE, LEVEL_DTYPE

from apex._core.events cimport (
    AT_LOCAL, AT_VENUE, BOOK_LEVEL, BUY, LAST_IN_BATCH, LEVELS, SELL, SNAPSHOT, SNAPSHOT_BEGIN, TRADE, Batch, Level,
)

cdef enum:
    BID = 0
    ASK = 1
    NEITHER = 2
    WARM_UP = 60_000         # actions before the first snapshot
    BURST_MEAN = 24          # actions of a depth message
    WIDE = 1                 # ticks; a best price farther than this from where it could be is improved on
    INFORMED = 128           # odds that a step is an informed market order while quotes are stale, of 2^8
    INFORMED_LOTS = 8        # times the size of an uninformed one
    RECOVERY = 256           # steps in which most of a jump's excess goes again
    SINGLE = 24              # lots; a level up to this is one order, and is cancelled whole

cdef int64_t START_NS = 1_767_225_600_000_000_000
cdef int64_t OPENING_NS = 1_000_000             # between the snapshots and the first steps
cdef int64_t FEED_BASE_NS = 600_000
cdef int64_t FEED_MEAN_NS = 250_000
cdef int64_t FEED_SPIKE_NS = 4_000_000
cdef int64_t LOTS_MAX = <int64_t> 1 << 40

INSTRUMENTS_MAX = 64
ROWS_MIN = 16
PRICE_TICKS_MIN = 1_024
PRICE_TICKS_MAX = 1 << 29

cdef int64_t exponential[CELLS + 1]      # of mean 2^20
cdef int64_t place_distance[CELLS + 1]   # ticks behind the best possible price
cdef int64_t cancel_distance[CELLS + 1]  # ticks behind the own best
cdef int64_t limit_lots[CELLS + 1]
cdef int64_t market_lots[CELLS + 1]
cdef Regime regimes[3]                   # calm, busy, stormy

regimes[0] = Regime(17_000_000, 5_400, 14, 80, 40)
regimes[1] = Regime(9_000_000, 7_200, 18, 80, 32)
regimes[2] = Regime(4_000_000, 10_000, 22, 80, 60)


# ---- tables of quantiles, made once from exact numbers -----------------------------------------------------------------

cdef int _exponential(int64_t* table) except -1:
    """Quantiles of -ln(u) in 2^-20; decimal logarithms are rounded correctly, so they are the same everywhere."""
    context = Context(prec=30)
    parts = 2 * CELLS + 1
    for i in range(CELLS + 1):
        u = context.divide(Decimal(parts - 2 * i), Decimal(parts))
        table[<int> i] = int(context.multiply(context.ln(u), Decimal(-(1 << 20))))
    return 0


cdef int _power_law(int64_t* table, scale, power, ratio) except -1:
    """Quantiles of scale * (u^-power - 1), u from 1 down to 1 / ratio: half of them below about `scale` for power 1."""
    top = ratio * CELLS
    for i in range(CELLS + 1):
        part = top - (ratio - 1) * i
        table[<int> i] = scale * (top**power - part**power) // part**power
    return 0


_exponential(exponential)
_power_law(place_distance, 4, 2, 16)                         # up to REACH
_power_law(cancel_distance, 4, 2, 16)
_power_law(limit_lots, 60, 1, 256)                           # mean about 270, up to 15,300
_power_law(market_lots, 70, 1, 1024)                         # mean about 420, up to 71,610


# ---- random numbers ----------------------------------------------------------------------------------------------------

cdef uint64_t _split(uint64_t* seed) noexcept nogil:
    """SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): expands a seed into generator states."""
    cdef uint64_t z
    seed[0] += <uint64_t> 0x9E3779B97F4A7C15
    z = seed[0]
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EB
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


cdef inline int64_t _sample(const int64_t* table, uint64_t bits) noexcept nogil:
    """A value of a table of quantiles by the upper 26 of 64 random bits: 10 choose the cell, 16 the place in it."""
    cdef int64_t cell = bits >> 54, part = (bits >> 38) & 0xFFFF     # cell < CELLS
    return table[cell] + ((table[cell + 1] - table[cell]) * part >> 16)


cdef inline bint _leans(int64_t lean, uint64_t bits) noexcept nogil:
    """True with probability 1/2 + lean / 2^16, by the lower 16 random bits."""
    return <int64_t> (bits & 0xFFFF) - 32768 < lean


# ---- the book ----------------------------------------------------------------------------------------------------------

cdef inline int64_t _lots(const Pit* pit, int which, int64_t tick) noexcept nogil:
    return pit.ladders[which].cells[tick & (WINDOW - 1)].lots


cdef void _set(Pit* pit, int which, int64_t tick, int64_t lots) noexcept nogil:
    """Put a price's total, and note the change. The tick lies within WINDOW of all levels; one level always stays."""
    cdef Ladder* ladder = &pit.ladders[which]
    cdef Cell* cell = &ladder.cells[tick & (WINDOW - 1)]
    cdef int64_t outward = 2 * which - 1, before = cell.lots
    if cell.message != pit.message:                          # at most CHANGES_MAX prices a message, by its bounds
        cell.message = pit.message
        pit.changes[pit.change_count].tick = tick
        pit.changes[pit.change_count].before = before
        pit.changes[pit.change_count].which = which
        pit.change_count += 1
    cell.lots = lots
    if before == 0 and lots > 0:
        if ladder.levels == 0:
            ladder.best = ladder.far = tick
        ladder.levels += 1
        if (ladder.best - tick) * outward > 0:
            ladder.best = tick
        if (tick - ladder.far) * outward > 0:
            ladder.far = tick
    elif before > 0 and lots == 0:
        ladder.levels -= 1
        if tick == ladder.best and ladder.levels > 0:
            while ladder.cells[ladder.best & (WINDOW - 1)].lots == 0:
                ladder.best += outward


cdef void _begin(Pit* pit) noexcept nogil:
    """Begin a message: nothing has changed yet."""
    pit.message += 1
    pit.change_count = 0


cdef bint _may_empty(const Pit* pit, int which, int64_t tick) noexcept nogil:
    """Whether a level may go: enough others stay, and without the best the spread stays within its bound."""
    cdef const Ladder* ladder = &pit.ladders[which]
    cdef int64_t outward = 2 * which - 1, after
    if ladder.levels <= LEVELS_MIN:
        return False
    if tick != ladder.best:
        return True
    after = ladder.best + outward
    while ladder.cells[after & (WINDOW - 1)].lots == 0:      # ends: LEVELS_MIN levels stay
        after += outward
    return (after - pit.ladders[1 - which].best) * outward <= SPREAD_MAX


# ---- what can happen ---------------------------------------------------------------------------------------------------

cdef inline int _stale(const Pit* pit) noexcept nogil:
    """The side whose best is on the wrong side of the fair price, or NEITHER; never both, for the book is not crossed."""
    cdef int64_t fair = pit.fair_q8 >> 8
    if pit.ladders[BID].best > fair:
        return BID
    return ASK if pit.ladders[ASK].best <= fair else NEITHER


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


# ---- rows --------------------------------------------------------------------------------------------------------------

cdef void _batch(Sink* sink, const Pit* pit, int kind, uint64_t sequence, Py_ssize_t first, int flags,
                 int64_t feed_ns) noexcept nogil:
    """Close a batch over the levels from `first` on. No message overtakes another, so local times never go back."""
    cdef Batch* batch = &sink.batches[sink.batch_count]
    sink.batch_count += 1
    sink.last_local_ns = max(sink.last_local_ns, pit.next_ns + feed_ns)
    batch.ts_exchange_ns = pit.next_ns
    batch.ts_local_ns = sink.last_local_ns
    batch.sequence = sequence
    batch.first = <uint32_t> first
    batch.count = <uint32_t> (sink.level_count - first)
    batch.instrument = pit.index
    batch.flags = <uint16_t> (AT_VENUE | AT_LOCAL | flags)
    batch.kind = <uint8_t> kind
    batch.encoding = LEVELS


cdef inline void _level(Sink* sink, int side, int64_t tick, int64_t lots) noexcept nogil:
    cdef Level* level = &sink.levels[sink.level_count]
    sink.level_count += 1
    memset(level, 0, sizeof(Level))
    level.quantity_lots = lots
    level.price_ticks = <int32_t> tick                       # < 2^31: at most 2 * PRICE_TICKS_MAX and the ring
    level.side = <uint8_t> side


cdef int64_t _feed(Sink* sink) noexcept nogil:
    """Delay of the feed in ns: a floor, an exponential part, and a rare spike behind which messages queue."""
    cdef uint64_t bits = _draw(&sink.random)
    cdef int64_t delay = FEED_BASE_NS + (FEED_MEAN_NS * _sample(exponential, bits) >> 20)
    if (bits & 0x7FF) == 0:
        delay += FEED_SPIKE_NS * _sample(exponential, _draw(&sink.random)) >> 20
    return delay


cdef void _publish(Sink* sink, Pit* pit, int64_t feed_ns) noexcept nogil:
    """The message's changes as one depth batch, bids first; what ended as it began is left out."""
    cdef Py_ssize_t first = sink.level_count
    cdef int i, which
    cdef int64_t lots
    for which in range(2):
        for i in range(pit.change_count):
            if pit.changes[i].which == which:
                lots = _lots(pit, which, pit.changes[i].tick)
                if lots != pit.changes[i].before:
                    _level(sink, BUY + which, pit.changes[i].tick, lots)
    if sink.level_count > first:
        pit.sequence += sink.level_count - first
        _batch(sink, pit, BOOK_LEVEL, pit.sequence, first, LAST_IN_BATCH, feed_ns)


cdef void _snapshot(Sink* sink, Pit* pit) noexcept nogil:
    """The whole book from the touch outwards, bids first."""
    cdef Py_ssize_t first = sink.level_count
    cdef int64_t feed_ns = _feed(sink), tick, left
    cdef int which
    _level(sink, 0, 0, 0)
    pit.sequence += 1
    _batch(sink, pit, SNAPSHOT_BEGIN, pit.sequence, first, 0, feed_ns)
    first = sink.level_count
    for which in range(2):
        tick, left = pit.ladders[which].best, pit.ladders[which].levels
        while left > 0:
            if _lots(pit, which, tick) != 0:
                _level(sink, BUY + which, tick, _lots(pit, which, tick))
                left -= 1
            tick += 2 * which - 1
    _batch(sink, pit, BOOK_LEVEL, pit.sequence, first, LAST_IN_BATCH | SNAPSHOT, feed_ns)


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


# ---- the market --------------------------------------------------------------------------------------------------------

cdef void _open(Pit* pit, int64_t price_ticks, int64_t depth) noexcept nogil:
    """A book in its stationary state around the price, `depth` levels a side at most; no time passes."""
    cdef int _, which
    cdef Ladder* ladder
    pit.fair_q8 = (price_ticks << 8) + 128
    pit.fair_low_q8, pit.fair_high_q8 = price_ticks << 7, price_ticks << 9
    pit.jump_q8 = min(max((price_ticks << 8) // 60_000, 128), 64 << 8)   # 1/6 basis point
    pit.regime = 1
    pit.next_ns = START_NS + pit.index * 1_000
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
        self.depth = min(rows // self.count // 4, SNAPSHOT_LEVELS)   # so snapshots are at most about half of all rows
        state = seed
        for k in range(4):
            self.sink.random.state[k] = _split(&state)
        for i in range(self.count):
            for k in range(4):
                self.pits[i].random.state[k] = _split(&state)
            self.pits[i].index = <uint32_t> i
            _open(&self.pits[i], price_ticks[i], self.depth)

    def __dealloc__(self):
        free(self.pits)

    cdef void _step(self) noexcept nogil:
        """What happens next: the instrument whose time comes first trades, or its book changes.

        Near the end steps are kept small, so that the last message is whole and the rows are exactly as many as asked.
        """
        cdef Pit* pit = &self.pits[0]
        cdef const Regime* regime
        cdef int i, stale
        cdef uint64_t bits
        for i in range(1, self.count):
            if self.pits[i].next_ns < pit.next_ns:
                pit = &self.pits[i]
        regime = &regimes[pit.regime]
        bits = _draw(&pit.random)
        _move(pit, regime)
        stale = _stale(pit)
        if self.rows_left >= STEP_ROWS_MAX and (bits & 0xFF) < (regime.market if stale == NEITHER else INFORMED):
            _trade(&self.sink, pit, stale)
        else:
            _depth(&self.sink, pit, self.rows_left)
        pit.next_ns += 1_000 + (regime.interval_ns * _sample(exponential, bits) >> 20)

    cdef void _fill(self, Py_ssize_t capacity) noexcept nogil:
        """Snapshots, then steps, until all rows are out or a further step might not fit."""
        cdef Py_ssize_t before
        cdef Pit* pit
        while self.rows_left > 0:
            before = self.sink.level_count
            if self.opened < self.count:
                if before + 1 + 2 * self.depth > capacity:
                    return
                pit = &self.pits[self.opened]
                _snapshot(&self.sink, pit)
                pit.next_ns += OPENING_NS
                self.opened = self.opened + 1    # `+=` needs the GIL in the checked build
            else:
                if before + STEP_ROWS_MAX > capacity:
                    return
                self._step()
            self.rows_left = self.rows_left - (self.sink.level_count - before)

    def take(self, Py_ssize_t rows_max=1 << 16):
        """See Market.take in market.pyi."""
        cdef Py_ssize_t capacity = max(rows_max, 1 + 2 * SNAPSHOT_LEVELS)
        batches = np.empty(capacity, BATCH_DTYPE)
        levels = np.empty(capacity, LEVEL_DTYPE)
        cdef Batch[::1] batch_rows = batches
        cdef Level[::1] level_rows = levels
        self.sink.batches, self.sink.levels = &batch_rows[0], &level_rows[0]
        self.sink.batch_count = self.sink.level_count = 0
        with nogil:
            self._fill(capacity)
        self.sink.batches, self.sink.levels = NULL, NULL
        return batches[:self.sink.batch_count], levels[:self.sink.level_count]

    def _check(self):
        """See Market._check in market.pyi."""
        cdef Ladder* ladder
        cdef int64_t tick, levels
        cdef int i, which
        for i in range(self.count):
            bid, ask = self.pits[i].ladders[BID].best, self.pits[i].ladders[ASK].best
            assert 0 < bid < ask, f"crossed: {bid} {ask}"
            for which in range(2):
                ladder, levels = &self.pits[i].ladders[which], 0
                assert ladder.cells[ladder.best & (WINDOW - 1)].lots > 0
                assert 0 <= (ladder.far - ladder.best) * (2 * which - 1) < WINDOW - 1
                for tick in range(WINDOW):
                    lots = ladder.cells[tick].lots
                    assert 0 <= lots <= LOTS_MAX + 100_000
                    levels += lots > 0
                assert levels == ladder.levels, f"{levels} levels counted, {ladder.levels} noted"
