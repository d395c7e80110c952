"""Features of the touch: imbalance, weighted mid, order flow, realised measures, spread and size, micro-price."""

from libc.math cimport M_PI, NAN, exp, isnan, log, pow, sqrt
from libc.stdint cimport INT64_MIN, int64_t
from libc.stdlib cimport calloc, free

from apex._core.feature cimport (
    DIRTY_BOOK, HEARS_BOOK, HEARS_READ, HEARS_TIME, STEPS_MAX, Feature, Market, Sum, ranked_add, ranked_clear,
    ranked_drop, ranked_free, ranked_new, ranked_quantile, sum_add, sum_drop, sum_value, window_add, window_clear,
    window_expire, window_free, window_make,
)

cdef enum:
    BUCKETS_MAX = 100
    SPREADS_MAX = 16


cdef class Quote(Feature):
    """mid, spread, spread in bp, bid, ask, their lots; imbalance, 2 * imbalance - 1; weighted mid (methods 2.2)."""

    def __init__(self):
        self.hears, self.dirty = HEARS_BOOK, DIRTY_BOOK

    cdef void on_book(self, const Market* m) noexcept nogil:
        cdef double share
        if not m.valid:
            self.blank()
            return
        share = (<double> m.bid_lots) / (<double> m.bid_lots + <double> m.ask_lots)     # > 0: both sides have a level
        self.out[0][0] = 0.5 * <double> m.mid2
        self.out[1][0] = <double> (m.ask - m.bid)
        self.out[2][0] = 2e4 * <double> (m.ask - m.bid) / <double> m.mid2
        self.out[3][0], self.out[4][0] = <double> m.bid, <double> m.ask
        self.out[5][0], self.out[6][0] = <double> m.bid_lots, <double> m.ask_lots
        self.out[7][0] = share
        self.out[8][0] = 2.0 * share - 1.0
        self.out[9][0] = share * <double> m.ask + (1.0 - share) * <double> m.bid

    cdef void on_gap(self) noexcept nogil:
        self.blank()


cdef inline int64_t _flow(int64_t bid, int64_t bid_lots, int64_t ask, int64_t ask_lots, const Market* m) noexcept nogil:
    """Contribution e_n of an update to order-flow imbalance, lots (Cont, Kukanov and Stoikov 2014, 2.1)."""
    cdef int64_t change = 0
    if m.bid >= bid:
        change += m.bid_lots
    if m.bid <= bid:
        change -= bid_lots
    if m.ask <= ask:
        change -= m.ask_lots
    if m.ask >= ask:
        change += ask_lots
    return change


cdef class OrderFlow(Feature):
    """Sum of e_n over the window, exact; the same over the mean size of the touch. The first touch only begins it."""

    def __cinit__(self, int64_t window_ns):
        window_make(&self.window, window_ns, 2)

    def __dealloc__(self):
        window_free(&self.window)

    def __init__(self, int64_t window_ns):
        self.hears, self.dirty = HEARS_BOOK | HEARS_READ, DIRTY_BOOK
        self.since = -1

    cdef void on_gap(self) noexcept nogil:
        self.blank()
        window_clear(&self.window)
        self.has_touch, self.since = False, -1

    cdef void on_book(self, const Market* m) noexcept nogil:
        cdef int64_t row[2]
        if not m.valid:
            self.blank()
            self.has_touch = False
            return
        if self.has_touch:
            row[0] = _flow(self.bid, self.bid_lots, self.ask, self.ask_lots, m)
            row[1] = m.bid_lots + m.ask_lots
            self.forgotten = self.forgotten + window_add(&self.window, m.now, row)
        if self.since < 0:
            self.since = m.now
        self.bid, self.bid_lots, self.ask, self.ask_lots = m.bid, m.bid_lots, m.ask, m.ask_lots
        self.has_touch = True
        self._tell(m.now)

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        if m.valid:
            self._tell(now)
        return INT64_MIN

    cdef void _tell(self, int64_t now) noexcept nogil:
        cdef int64_t count
        window_expire(&self.window, now)
        if self.since < 0 or now - self.since < self.window.span_ns:
            self.blank()
            return
        count = self.window.next - self.window.first
        self.out[0][0] = <double> self.window.sums[0]
        self.out[1][0] = (2.0 * <double> self.window.sums[0] * <double> count / <double> self.window.sums[1]
                          if count else 0.0)


cdef class DecayedFlow(Feature):
    """Order flow S <- S * exp(-dt / tau) + e; known once tau has passed since the first touch."""

    def __init__(self, int64_t tau_ns):
        if tau_ns <= 0:
            raise ValueError("tau must be > 0 ns")
        self.hears, self.dirty = HEARS_BOOK | HEARS_READ, DIRTY_BOOK
        self.tau_ns = <double> tau_ns
        self.since = -1

    cdef void on_gap(self) noexcept nogil:
        self.blank()
        self.has_touch, self.since, self.total = False, -1, 0.0

    cdef void on_book(self, const Market* m) noexcept nogil:
        if not m.valid:
            self.blank()
            self.has_touch = False
            return
        if self.since < 0:
            self.since = self.ts = m.now
        if m.now != self.ts:
            self.total = self.total * exp(-<double> (m.now - self.ts) / self.tau_ns)
            self.ts = m.now
        if self.has_touch:
            self.total = self.total + (<double> _flow(self.bid, self.bid_lots, self.ask, self.ask_lots, m))
        self.bid, self.bid_lots, self.ask, self.ask_lots = m.bid, m.bid_lots, m.ask, m.ask_lots
        self.has_touch = True
        self.out[0][0] = self.total if <double> (m.now - self.since) >= self.tau_ns else NAN

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        """A read between updates: decayed, and nothing is kept, so that reading changes no later value."""
        if m.valid and self.since >= 0 and <double> (now - self.since) >= self.tau_ns:
            self.out[0][0] = self.total * exp(-<double> (now - self.ts) / self.tau_ns)
        return INT64_MIN


cdef class Returns(Feature):
    """Realised measures of the log returns of the mid between grid points, previous tick (methods 2.7)."""

    def __cinit__(self, *args, **kwargs):
        self.ring = <double*> calloc(STEPS_MAX, sizeof(double))
        if self.ring == NULL:
            raise MemoryError("no memory for returns")

    def __dealloc__(self):
        free(self.ring)

    def __init__(self, int64_t step_ns, int steps):
        if step_ns <= 0 or not 1 <= steps <= STEPS_MAX:
            raise ValueError(f"windows must be > 0 ns and steps 1 to {STEPS_MAX}")
        self.hears, self.dirty = HEARS_TIME, DIRTY_BOOK
        self.step_ns, self.steps, self.step_next = step_ns, steps, -1

    cdef void on_gap(self) noexcept nogil:
        self.blank()
        self.step_next, self.step_mid2, self.count = -1, 0, 0
        self.squares = self.products = self.up = self.down = Sum(0.0, 0.0, 0)

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        """Close every grid point before `now` with the mid that held there."""
        cdef int64_t closed = 0
        if self.step_next < 0:
            if m.since < 0:
                return INT64_MIN
            self.step_next = (max(m.since, self.asked) // self.step_ns + 1) * self.step_ns
        if self.step_next >= now:
            return self.step_next
        while self.step_next < now:
            if self.step_mid2 > 0 and m.mid2 > 0:
                self._push(log((<double> m.mid2) / (<double> self.step_mid2)) if m.mid2 != self.step_mid2 else 0.0)
            self.step_mid2 = m.mid2
            self.step_next = self.step_next + self.step_ns
            closed += 1
            if closed > self.steps + 1 and self.step_next < now:      # a long silence: only zeros are left in the ring
                self.step_next = self.step_next + ((now - 1 - self.step_next) // self.step_ns * self.step_ns)
        if self.count >= self.steps:
            self._tell()
        return self.step_next

    cdef void _push(self, double change) noexcept nogil:
        """A return in, and the oldest out; `products` are of neighbours, both within the ring."""
        cdef int64_t place = self.count % self.steps
        cdef double old, after
        cdef double last = self.ring[(self.count - 1) % self.steps] if self.count else 0.0
        if self.count >= self.steps:
            old = self.ring[place]
            sum_drop(&self.squares, old * old)
            sum_drop(&self.up if old > 0 else &self.down, old * old)
            if self.steps > 1:
                after = self.ring[(place + 1) % self.steps]
                sum_drop(&self.products, (old if old >= 0 else -old) * (after if after >= 0 else -after))
        if self.count and self.steps > 1:
            sum_add(&self.products, (last if last >= 0 else -last) * (change if change >= 0 else -change))
        sum_add(&self.squares, change * change)
        sum_add(&self.up if change > 0 else &self.down, change * change)
        self.ring[place] = change
        self.count = self.count + 1

    cdef void _tell(self) noexcept nogil:
        cdef double variance = max(sum_value(&self.squares), 0.0), bipower = NAN
        cdef double n = <double> self.steps
        self.out[0][0] = sqrt(variance)
        self.out[1][0] = variance
        if self.steps > 1:
            bipower = 0.5 * M_PI * n / (n - 1.0) * max(sum_value(&self.products), 0.0)
        self.out[2][0] = bipower
        self.out[3][0] = max(variance - bipower, 0.0) if self.steps > 1 else NAN
        self.out[4][0] = max(sum_value(&self.up), 0.0)
        self.out[5][0] = max(sum_value(&self.down), 0.0)
        if self.wants & (1 << 6):
            self.out[6][0] = _jump(self.ring, self.count, self.steps, variance, bipower)
        if self.wants & (1 << 7):
            self.out[7][0] = _two_scales(self.ring, self.count, self.steps, variance)


cdef double _two_scales(const double* ring, int64_t count, int steps, double variance) noexcept nogil:
    """Variance without the noise of the quotes: that of returns over k steps, averaged over the k grids that begin at
    each step, less what is left of the noise (Zhang, Mykland and Ait-Sahalia 2005, adjusted for small samples);
    k = steps ^ (2/3). O(steps), at grid points only.
    """
    cdef int k = <int> (pow(<double> steps, 2.0 / 3.0) + 0.5)
    cdef double sparse = (<double> (steps - k + 1)) / (<double> k), total = 0.0, change = 0.0
    cdef int64_t i
    if steps < 2:
        return NAN
    for i in range(steps):               # oldest first; k <= steps
        change += ring[(count + i) % steps]
        if i >= k:
            change -= ring[(count + i - k) % steps]
        if i >= k - 1:
            total += change * change
    return (total / <double> k - sparse / <double> steps * variance) / (1.0 - sparse / <double> steps)


cdef double _jump(const double* ring, int64_t count, int steps, double variance, double bipower) noexcept nogil:
    """Ratio statistic of a jump (Huang and Tauchen 2005) with tri-power quarticity; O(steps), at grid points only."""
    cdef double n = <double> steps, quarticity = 0.0, a, b, c, x
    cdef double scale = 0.8308609250295592      # E|Z|^(4/3) of a standard normal
    cdef int64_t i
    if steps < 3 or not bipower > 0.0:
        return NAN
    a = b = 0.0
    for i in range(steps):               # oldest first
        x = ring[(count + i) % steps]
        c = pow(x if x >= 0 else -x, 4.0 / 3.0)
        if i >= 2:
            quarticity += a * b * c
        a, b = b, c
    quarticity *= n / (scale * scale * scale) * n / (n - 2.0)
    x = quarticity / (bipower * bipower)
    return (variance - bipower) / variance / sqrt((0.25 * M_PI * M_PI + M_PI - 5.0) / n * max(1.0, x))


cdef class TouchSamples(Feature):
    """Mean, standard deviation (n - 1) and a quantile of the last `steps` samples of a grid, previous tick; exact."""

    def __cinit__(self, int64_t step_ns, int steps, *args):
        if step_ns <= 0 or not 2 <= steps <= STEPS_MAX:
            raise ValueError(f"windows must be > 0 ns and steps 2 to {STEPS_MAX}")
        self.ranked = ranked_new(steps)
        self.ring = <int64_t*> calloc(steps, sizeof(int64_t))
        if self.ring == NULL:
            raise MemoryError("no memory for samples")

    def __dealloc__(self):
        free(self.ring)
        ranked_free(self.ranked)

    def __init__(self, int64_t step_ns, int steps, double q, bint of_size):
        if not 0 <= q <= 1:
            raise ValueError(f"q must be 0 to 1, not {q}")
        self.hears, self.dirty = HEARS_TIME, DIRTY_BOOK
        self.step_ns, self.steps, self.q, self.of_size, self.step_next = step_ns, steps, q, of_size, -1

    cdef void on_gap(self) noexcept nogil:
        self.blank()
        self.step_next, self.count, self.total, self.squares = -1, 0, 0, 0
        ranked_clear(self.ranked)

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        cdef int64_t closed = 0, x, n = self.steps
        cdef double unit = 0.5 if self.of_size else 1.0       # half of bid lots + ask lots
        if self.step_next < 0:
            if m.since < 0:
                return INT64_MIN
            self.step_next = (max(m.since, self.asked) // self.step_ns + 1) * self.step_ns
        if self.step_next >= now:
            return self.step_next
        x = m.bid_lots + m.ask_lots if self.of_size else m.ask - m.bid
        while self.step_next < now:
            self._push(x)
            self.step_next = self.step_next + self.step_ns
            closed += 1
            if closed >= self.steps and self.step_next < now:         # a long silence: one value fills the ring
                self.step_next = self.step_next + ((now - 1 - self.step_next) // self.step_ns + 1) * self.step_ns
        if self.count >= n:
            self.out[0][0] = unit * <double> self.total / <double> n
            self.out[1][0] = unit * sqrt(<double> (self.squares * n - <int128> self.total * self.total)
                                         / <double> (n * (n - 1)))
            self.out[2][0] = unit * ranked_quantile(self.ranked, self.q)
        return self.step_next

    cdef void _push(self, int64_t x) noexcept nogil:
        cdef int64_t place = self.count % self.steps
        if self.count >= self.steps:
            self.total = self.total - self.ring[place]
            self.squares = self.squares - <int128> self.ring[place] * self.ring[place]
            ranked_drop(self.ranked, <double> self.ring[place])
        self.ring[place] = x
        self.total = self.total + x
        self.squares = self.squares + <int128> x * x
        ranked_add(self.ranked, <double> x)
        self.count = self.count + 1


cdef class MicroPrice(Feature):
    """Mid + G*(imbalance, spread), ticks (Stoikov 2018); wider spreads than were fitted have the weighted mid.

    Imbalance falls into one of `buckets` equal buckets; on the border of two it has the mean of both, so that the
    adjustment is exactly antisymmetric when the table is.
    """

    def __cinit__(self, *args):
        self.shifts = <double*> calloc(BUCKETS_MAX * SPREADS_MAX, sizeof(double))
        if self.shifts == NULL:
            raise MemoryError("no memory for a table")

    def __dealloc__(self):
        free(self.shifts)

    def __init__(self, table):
        """Rows of `table` are spreads 1, 2, ... ticks, columns buckets; NaN where nothing was fitted."""
        cdef int row, column
        self.spreads, self.buckets = len(table), len(table[0]) if len(table) else 0
        if not (1 <= self.spreads <= SPREADS_MAX and 1 <= self.buckets <= BUCKETS_MAX):
            raise ValueError(f"a micro-price has 1 to {SPREADS_MAX} spreads and 1 to {BUCKETS_MAX} buckets")
        for row in range(self.spreads):
            if len(table[row]) != self.buckets:
                raise ValueError("rows of a micro-price differ in length")
            for column in range(self.buckets):
                self.shifts[row * self.buckets + column] = table[row][column]
        self.hears, self.dirty = HEARS_BOOK, DIRTY_BOOK

    cdef void on_gap(self) noexcept nogil:
        self.blank()

    cdef void on_book(self, const Market* m) noexcept nogil:
        cdef double share, at, shift = NAN
        cdef const double* row
        cdef int bucket
        if not m.valid:
            self.blank()
            return
        share = (<double> m.bid_lots) / (<double> m.bid_lots + <double> m.ask_lots)
        if m.ask - m.bid <= self.spreads:
            row = &self.shifts[(m.ask - m.bid - 1) * self.buckets]
            at = (<double> m.bid_lots) * self.buckets / (<double> m.bid_lots + <double> m.ask_lots)
            bucket = min(<int> at, self.buckets - 1)                  # 0 <= at <= buckets
            shift = row[bucket]
            if <double> bucket == at and bucket > 0:
                shift = 0.5 * (row[bucket - 1] + row[bucket])
        if isnan(shift):
            shift = (share - 0.5) * <double> (m.ask - m.bid)
        self.out[0][0] = 0.5 * <double> m.mid2 + shift
        self.out[1][0] = shift
