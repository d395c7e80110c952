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

from apex._core.events import BATCH_DTYPE, EVENT_DTYPE, LEVEL_DTYPE

from apex._core.events cimport (
    AT_LOCAL, AT_VENUE, BOOK_LEVEL, BUY, LAST_IN_BATCH, LEVELS, ORDER_ADD, ORDER_DELETE, ORDER_EXECUTE, ROWS, SELL,
    SNAPSHOT, SNAPSHOT_BEGIN, TRADE, Batch, Event, Level,
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
    IDLE_STEPS_MAX = 4_000_000   # steps without a row, after which none is expected

cdef int64_t START_NS = 1_767_225_600_000_000_000
cdef int64_t OPENING_NS = 1_000_000             # between the snapshots and the first steps
cdef int64_t FEED_BASE_NS = 600_000
cdef int64_t FEED_MEAN_NS = 250_000
cdef int64_t FEED_SPIKE_NS = 4_000_000
cdef int64_t LOTS_MAX = <int64_t> 1 << 40

INSTRUMENTS_MAX = 64
CELLS_OF_TABLE = CELLS
ROWS_MIN = 16
PRICE_TICKS_MIN = 1_024
PRICE_TICKS_MAX = 1 << 29

cdef int64_t exponential[CELLS + 1]      # of mean 2^20
cdef int64_t decay[CELLS + 1]            # exp(-x) in 2^-30, x in steps of 1/64
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


cdef int _decay(int64_t* table) except -1:
    """exp(-x) in 2^-30."""
    context = Context(prec=30)
    for i in range(CELLS + 1):
        table[<int> i] = int(context.multiply(context.exp(context.divide(Decimal(-i), Decimal(64))), Decimal(1 << 30)))
    return 0


_exponential(exponential)
_decay(decay)
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
    return (after - pit.ladders[1 - which].best) * outward <= pit.spread_max


# ---- stale quotes ------------------------------------------------------------------------------------------------------

cdef inline int _stale(const Pit* pit) noexcept nogil:
    """The side whose best is on the wrong side of the fair price, or NEITHER; never both, for the book is not crossed."""
    cdef int64_t fair = pit.fair_q8 >> 8
    if pit.ladders[BID].best > fair:
        return BID
    return ASK if pit.ladders[ASK].best <= fair else NEITHER


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
    if pit.by_order:
        _snapshot_orders(sink, pit, feed_ns)
        return
    first = sink.level_count
    for which in range(2):
        tick, left = pit.ladders[which].best, pit.ladders[which].levels
        while left > 0:
            if _lots(pit, which, tick) != 0:
                _level(sink, BUY + which, tick, _lots(pit, which, tick))
                left -= 1
            tick += 2 * which - 1
    _batch(sink, pit, BOOK_LEVEL, pit.sequence, first, LAST_IN_BATCH | SNAPSHOT, feed_ns)


include "market_levels.pxi"
include "market_orders.pxi"
include "market_arrivals.pxi"


# ---- rules -------------------------------------------------------------------------------------------------------------

_RATE = (0, 1 << 30)
_TIME = (1_000_000, 1 << 40)
RULES = {
    "depth_rate": (3, 1 << 10, 1 << 30), "market_rate": (3, *_RATE), "news_rate": (3, *_RATE), "leave_rate": (3, *_RATE),
    "parent_rate": (3, *_RATE), "jump_scale": (3, 0, 4096),
    "heat_ns": (KERNELS, *_TIME), "self_gain": (KERNELS, *_RATE), "cross_gain": (KERNELS, *_RATE),
    "news_ns": (1, *_TIME), "news_gain": (1, *_RATE), "alarm_gain": (1, *_RATE), "echo": (1, 0, 1 << 16),
    "parent_lean": (1, 0, 256),
    "informed_rate": (1, *_RATE), "informed_lots": (1, 1, 1024), "hurry": (1, *_RATE), "notice": (1, 0, 256), "tighten": (1, 0, 256),
    "touch_orders": (1, 1, TOUCH_MAX), "follow": (1, 0, 256), "placing": (1, 16, 256), "crowd": (1, 0, 256), "burst_mean": (1, 1, ACTIONS_MAX),
    "jump_q8": (1, 0, 1 << 24), "giveback": (1, 0, 256), "impact": (1, 0, 256),
    "lean_flow": (1, 0, 1 << 15), "lean_book": (1, 0, 1 << 15),
    "reach": (1, 128, WINDOW - 1024), "spread_max": (1, 2, 1023), "beta": (1, 0, 1024), "lag_ns": (1, 0, 10**9),
    "partner": (1, 0, INSTRUMENTS_MAX), "watch": (1, 0, 256), "band_q8": (1, 256, 1 << 30),
    "crash_ns": (1, 0, 1 << 50), "crash_fall_ns": (1, *_TIME), "crash_rest_ns": (1, *_TIME),
    "crash_recover_ns": (1, *_TIME), "crash_depth": (1, 0, 1 << 14), "crash_back": (1, 0, 256),
    "crash_rate": (1, *_RATE), "crash_placing": (1, 1, 256), "crash_tighten": (1, 0, 256),
}
QUANTILES = {
    "place_distance": (0, WINDOW - 1024), "cancel_distance": (0, WINDOW - 1024), "limit_lots": (0, 1 << 30),
    "touch_lots": (0, 1 << 30), "market_lots": (0, 1 << 30), "jump": (0, 1 << 30),
}
NEWS_RULES = {"rate": (1, 1 << 10, 1 << 30), "gain": (1, *_RATE), "gain_ns": (1, *_TIME)}

cdef enum:                   # the tables in the order of QUANTILES
    PLACE_DISTANCE = 0
    CANCEL_DISTANCE = 1
    LIMIT_LOTS = 2
    TOUCH_LOTS = 3
    MARKET_LOTS = 4
    JUMP = 5


cdef int _numbers(int64_t* out, given, names) except -1:
    """Copy named numbers in the order of `names`, each within its range."""
    cdef Py_ssize_t at = 0
    for name, (count, low, high) in names.items():
        values = [given[name]] if count == 1 else given[name]
        if len(values) != count or not all(low <= x <= high for x in values):
            raise ValueError(f"{name} {values} is not {count} of {low} .. {high}")
        for x in values:
            out[at] = x
            at += 1
    return 0


cdef int _table(int64_t* out, given, name, low, high) except -1:
    """Copy a table of quantiles: they rise, within a range."""
    cdef int i
    values = given[name]
    if len(values) != CELLS + 1 or sorted(values) != list(values) or not all(low <= x <= high for x in values):
        raise ValueError(f"{name} is not {CELLS + 1} rising numbers of {low} .. {high}")
    for i in range(CELLS + 1):
        out[i] = values[i]
    return 0


# ---- the market --------------------------------------------------------------------------------------------------------

cdef void _open(Pit* pit, int64_t price_ticks, int64_t depth) noexcept nogil:
    """A book in its stationary state around the price, of limited depth; no time passes."""
    pit.fair_q8 = (price_ticks << 8) + 128
    pit.fair_low_q8, pit.fair_high_q8 = price_ticks << 7, price_ticks << 9
    pit.jump_q8 = min(max((price_ticks << 8) // 60_000, 128), 64 << 8)   # 1/6 basis point
    pit.regime = 1
    pit.next_ns = START_NS + pit.index * 1_000
    pit.heat_ns = pit.next_ns
    if pit.rule == NULL:
        pit.spread_max = SPREAD_MAX
        _open_levels(pit, price_ticks, depth)
    else:
        pit.spread_max = pit.rule.spread_max
        _open_orders(pit, price_ticks, depth)


cdef class Market:
    def __cinit__(self, seed, rows, price_ticks, rules=None, news=None, by_order=False):
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
        if rules is not None and len(rules) != len(price_ticks):
            raise ValueError(f"{len(rules)} sets of rules for {len(price_ticks)} instruments")
        self.count = len(price_ticks)
        self.pits = <Pit*> calloc(self.count, sizeof(Pit))
        if self.pits == NULL:
            raise MemoryError("no memory for the market's books")
        self.rows_left = rows
        self.step_rows = STEP_ROWS_MAX if rules is None else RULE_ROWS_MAX
        self.depth = min(rows // self.count // 4, SNAPSHOT_LEVELS if rules is None else SNAPSHOT_ORDERS)
        if rules is not None:
            self._rule(rules, price_ticks, news, by_order)
        state = seed
        for k in range(4):
            self.sink.random.state[k] = _split(&state)
        for i in range(self.count):
            for k in range(4):
                self.pits[i].random.state[k] = _split(&state)
            self.pits[i].index = <uint32_t> i
        for k in range(4):
            self.world.random.state[k] = _split(&state)
        self.world.now_ns = START_NS
        for i in range(self.count):
            _open(&self.pits[i], price_ticks[i], self.depth)

    cdef int _rule(self, rules, price_ticks, news, by_order) except -1:
        """Take over the rules of every instrument and of the common news, and make room for orders."""
        cdef int i, k
        cdef Pit* pit
        cdef int64_t* table
        self.rules = <Rule*> calloc(self.count, sizeof(Rule))
        self.tables = <int64_t*> calloc((self.count * TABLES + 1) * (CELLS + 1), sizeof(int64_t))
        if self.rules == NULL or self.tables == NULL:
            raise MemoryError("no memory for the market's rules")
        table = self.tables
        for i in range(self.count):
            pit = &self.pits[i]
            pit.rule, pit.world, pit.sink, pit.by_order = &self.rules[i], &self.world, &self.sink, by_order
            _numbers(<int64_t*> pit.rule, rules[i], RULES)
            for k, (name, (low, high)) in enumerate(QUANTILES.items()):
                _table(table, rules[i], name, low, high)
                pit.tables[k] = table
                table += CELLS + 1
            if pit.rule.beta > 0 and news is None:
                raise ValueError("beta > 0, and there are no rules of common news")
            if pit.rule.partner > 0:
                if pit.rule.partner > self.count or price_ticks[pit.rule.partner - 1] != price_ticks[i]:
                    raise ValueError(f"partner {pit.rule.partner} does not begin at the same price")
                pit.partner = &self.pits[pit.rule.partner - 1]
            pit.queues = <Queue*> calloc(2 * WINDOW, sizeof(Queue))
            pit.orders = <Order*> calloc(ORDERS_MAX, sizeof(Order))
            if pit.queues == NULL or pit.orders == NULL:
                raise MemoryError("no memory for the market's orders")
        if news is not None:
            _numbers(&self.world.rate, news, NEWS_RULES)
            low, high = QUANTILES["jump"]
            _table(table, news, "jump", low, high)
        self.world.sizes = table
        return 0

    def __dealloc__(self):
        cdef int i
        if self.pits != NULL:
            for i in range(self.count):
                free(self.pits[i].queues)
                free(self.pits[i].orders)
        free(self.pits)
        free(self.rules)
        free(self.tables)

    cdef void _step(self) noexcept nogil:
        """What happens next: the instrument whose time comes first trades, or its book changes.

        Near the end steps are kept small, so that the last message is whole and the rows are exactly as many as asked.
        """
        cdef Pit* pit = &self.pits[0]
        cdef int i
        for i in range(1, self.count):
            if self.pits[i].next_ns < pit.next_ns:
                pit = &self.pits[i]
        if pit.rule == NULL:
            _level_step(&self.sink, pit, self.rows_left)
        else:
            _rule_step(&self.sink, pit, self.rows_left)

    cdef bint _fill(self, Py_ssize_t capacity) noexcept nogil:
        """Snapshots, then steps, until all rows are out or a further step might not fit; False when nothing happens."""
        cdef Py_ssize_t before, idle = 0
        cdef Pit* pit
        while self.rows_left > 0:
            before = self.sink.level_count + self.sink.row_count
            if self.opened < self.count:
                if before + 1 + 2 * self.depth > capacity:
                    return True
                pit = &self.pits[self.opened]
                _snapshot(&self.sink, pit)
                pit.next_ns += OPENING_NS
                self.opened = self.opened + 1    # `+=` needs the GIL in the checked build
            else:
                if before + self.step_rows > capacity:
                    return True
                self._step()
            before = self.sink.level_count + self.sink.row_count - before
            self.rows_left = self.rows_left - before
            idle = idle + 1 if before == 0 else 0
            if idle > IDLE_STEPS_MAX:
                return False
        return True

    def take(self, Py_ssize_t rows_max=1 << 16):
        """See Market.take in market.pyi."""
        cdef Py_ssize_t capacity = max(rows_max, 1 + 2 * (SNAPSHOT_LEVELS if self.rules == NULL else SNAPSHOT_ORDERS))
        cdef bint by_order = self.pits[0].by_order
        batches = np.empty(capacity, BATCH_DTYPE)
        levels = np.empty(self.count if by_order else capacity, LEVEL_DTYPE)
        rows = np.empty(capacity if by_order else 0, EVENT_DTYPE)
        cdef Batch[::1] batch_rows = batches
        cdef Level[::1] level_rows = levels
        cdef Event[::1] order_rows = rows
        self.sink.batches, self.sink.levels = &batch_rows[0], &level_rows[0]
        self.sink.rows = &order_rows[0] if by_order else NULL
        self.sink.batch_count = self.sink.level_count = self.sink.row_count = self.sink.row_closed = 0
        cdef bint filled
        with nogil:
            filled = self._fill(capacity)
        self.sink.batches, self.sink.levels, self.sink.rows = NULL, NULL, NULL
        if not filled:
            raise ValueError(f"nothing happens any more: {IDLE_STEPS_MAX} steps without a row, {self.rows_left} rows to go")
        return (batches[:self.sink.batch_count], levels[:self.sink.level_count], rows[:self.sink.row_count])

    def _check(self):
        """See Market._check in market.pyi."""
        cdef Pit* pit
        cdef Ladder* ladder
        cdef int64_t tick, levels
        cdef int i, which
        for i in range(self.count):
            pit = &self.pits[i]
            bid, ask = pit.ladders[BID].best, pit.ladders[ASK].best
            assert 0 < bid < ask, f"crossed: {bid} {ask}"
            for which in range(2):
                ladder, levels = &pit.ladders[which], 0
                assert ladder.cells[ladder.best & (WINDOW - 1)].lots > 0
                assert 0 <= (ladder.far - ladder.best) * (2 * which - 1) < WINDOW - 1
                for tick in range(WINDOW):
                    lots = ladder.cells[tick].lots
                    assert 0 <= lots <= LOTS_MAX + 100_000 or pit.rule != NULL
                    levels += lots > 0
                    if pit.rule != NULL:
                        assert lots == _queued(pit, which, tick), f"tick {tick}: {lots} lots, and not in its orders"
                assert levels == ladder.levels, f"{levels} levels counted, {ladder.levels} noted"
            if pit.rule != NULL:
                assert _unused(pit) == ORDERS_MAX - pit.resting[BID] - pit.resting[ASK], "orders are lost"


if sizeof(Rule) != 8 * sum(count for count, _, _ in RULES.values()) or len(QUANTILES) != TABLES:
    raise ImportError("apex._core.market: RULES and Rule do not agree")
