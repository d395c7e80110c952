"""Features of market trades: sign, flow, effective and Roll's spread, VPIN, Hawkes intensity.

A loss of the book does not touch them; what needs the mid waits for the next one.
"""

from libc.math cimport NAN, erfc, exp, floor, sqrt
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from apex._core.feature cimport (
    DIRTY_BOOK, DIRTY_TRADE, HEARS_BOOK, HEARS_READ, HEARS_TIME, HEARS_TRADE, STEPS_MAX, Feature, Market, Print,
    sum_add, sum_drop, sum_value, window_add, window_expire, window_free, window_make,
)


cdef class TradeSign(Feature):
    """+1 when the last trade bought, -1 when it sold: the venue's aggressor, else Lee and Ready's rule."""

    def __init__(self):
        self.hears, self.dirty = HEARS_TRADE, DIRTY_TRADE

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        self.out[0][0] = t.sign if t.sign else NAN
        return INT64_MAX


cdef class TradeFlow(Feature):
    """Lots bought less lots sold within the window, lots bought, lots sold; trades of unknown sign do not count."""

    def __cinit__(self, int64_t window_ns):
        window_make(&self.window, window_ns, 2)

    def __dealloc__(self):
        window_free(&self.window)

    def __init__(self, int64_t window_ns):
        self.hears, self.dirty = HEARS_TRADE | HEARS_TIME | HEARS_READ, DIRTY_BOOK | DIRTY_TRADE
        self.since = INT64_MIN

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        cdef int64_t row[2]
        if self.since == INT64_MIN:
            self.since = t.now
        row[0], row[1] = t.lots if t.sign > 0 else 0, t.lots if t.sign < 0 else 0
        self.forgotten = self.forgotten + window_add(&self.window, t.now, row)
        return self._tell(t.now)

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        return INT64_MAX if self.since == INT64_MIN else self._tell(now)

    cdef int64_t _tell(self, int64_t now) noexcept nogil:
        """Values at `now`, and the last time at which they hold."""
        window_expire(&self.window, now)
        if now - self.since < self.window.span_ns:
            return self.since + self.window.span_ns - 1
        self.out[0][0] = <double> (self.window.sums[0] - self.window.sums[1])
        self.out[1][0], self.out[2][0] = <double> self.window.sums[0], <double> self.window.sums[1]
        if self.window.first == self.window.next:
            return INT64_MAX
        return self.window.times[self.window.first & self.window.mask] + self.window.span_ns - 1


cdef class EffectiveSpread(Feature):
    """2 * sign * (price - mid) / mid of the last trade, the mid being the last before it; its mean over `trades`."""

    def __cinit__(self, int trades):
        if not 1 <= trades <= TRADES_MAX:
            raise ValueError(f"trades must be 1 to {TRADES_MAX}, not {trades}")
        self.ring = <double*> calloc(trades, sizeof(double))
        if self.ring == NULL:
            raise MemoryError("no memory for spreads")

    def __dealloc__(self):
        free(self.ring)

    def __init__(self, int trades):
        self.hears, self.dirty, self.trades = HEARS_TRADE, DIRTY_TRADE, trades

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        cdef double spread
        cdef int64_t place = self.count % self.trades
        if t.mid2 <= 0 or t.sign == 0:
            return INT64_MAX
        spread = 2.0 * t.sign * <double> (2 * t.ticks - t.mid2) / <double> t.mid2
        if self.count >= self.trades:
            sum_drop(&self.total, self.ring[place])
        self.ring[place] = spread
        sum_add(&self.total, spread)
        self.count = self.count + 1
        self.out[0][0] = spread
        self.out[1][0] = sum_value(&self.total) / self.trades if self.count >= self.trades else NAN
        return INT64_MAX


cdef class Roll(Feature):
    """2 * sqrt(max(0, -cov(dP_t, dP_t-1))) in ticks over the last `trades` pairs of changes (Roll 1984); exact sums."""

    def __cinit__(self, int trades):
        if not 2 <= trades <= STEPS_MAX:
            raise ValueError(f"trades must be 2 to {STEPS_MAX}, not {trades}")
        self.ring = <int64_t*> calloc(trades + 1, sizeof(int64_t))
        if self.ring == NULL:
            raise MemoryError("no memory for price changes")

    def __dealloc__(self):
        free(self.ring)

    def __init__(self, int trades):
        self.hears, self.dirty, self.trades = HEARS_TRADE, DIRTY_TRADE, trades

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        cdef int64_t change = t.ticks - self.last
        cdef int size = self.trades + 1
        cdef int64_t old, older, at = self.count % size
        cdef int128 covariance
        self.last = t.ticks
        if not self.has_last:
            self.has_last = True
            return INT64_MAX
        if self.count > self.trades:                     # the oldest pair goes; its later change has stayed
            older, old = self.ring[at], self.ring[(self.count + 1) % size]
            self.xy = self.xy - <int128> old * older
            self.x = self.x - old
            self.y = self.y - older
        if self.count:
            old = self.ring[(self.count - 1) % size]
            self.xy = self.xy + <int128> change * old
            self.x = self.x + change
            self.y = self.y + old
        self.ring[at] = change
        self.count = self.count + 1
        if self.count > self.trades:
            covariance = self.xy * self.trades - <int128> self.x * self.y
            self.out[0][0] = 2.0 * sqrt(-<double> covariance / (<double> self.trades * (self.trades - 1))
                                        if covariance < 0 else 0.0)
        return INT64_MAX


# ---- VPIN ------------------------------------------------------------------------------------------------------------

cdef int _buckets_make(Buckets* b, double volume, int kept, int64_t horizon_ns) except -1:
    if not (0 <= volume < 1e15 and 1 <= kept <= STEPS_MAX and horizon_ns >= DAY_BINS):
        raise ValueError(f"VPIN needs volume >= 0 lots, 1 to {STEPS_MAX} buckets and a horizon of 1440 ns or more")
    b.volume, b.automatic, b.kept = volume, volume == 0, kept
    b.bin_ns, b.bin = horizon_ns // DAY_BINS, INT64_MIN
    b.imbalances = <double*> calloc(kept, sizeof(double))
    b.volumes = <double*> calloc(kept, sizeof(double))
    if b.imbalances == NULL or b.volumes == NULL:
        raise MemoryError("no memory for buckets")
    return 0


cdef void _buckets_free(Buckets* b) noexcept nogil:
    free(b.imbalances)
    free(b.volumes)


cdef void _buckets_roll(Buckets* b, int64_t now) noexcept nogil:
    """Bring the bins of trailing volume to `now`."""
    cdef int64_t bin = now // b.bin_ns
    if b.bin == INT64_MIN:
        b.bin = b.bin_first = bin
    if bin - b.bin > DAY_BINS:
        memset(b.bins, 0, sizeof(b.bins))
        b.bin = bin
    while b.bin < bin:
        b.bin += 1
        b.bins[b.bin % (DAY_BINS + 1)] = 0.0


cdef void _buckets_count(Buckets* b, double lots) noexcept nogil:
    """Count lots into the present bin."""
    b.bins[b.bin % (DAY_BINS + 1)] += lots


cdef void _buckets_open(Buckets* b) noexcept nogil:
    """Begin a bucket; an automatic volume is 1/50 of what the last whole horizon traded, and at least a lot."""
    cdef double total = 0.0
    cdef int64_t i
    b.filled = b.bought = 0.0
    if b.automatic:
        b.volume = 0.0
        if b.bin - b.bin_first > DAY_BINS:
            for i in range(1, DAY_BINS + 1):
                total += b.bins[(b.bin - i) % (DAY_BINS + 1)]
            b.volume = max(floor(total / 50.0), 1.0)


cdef void _buckets_close(Buckets* b) noexcept nogil:
    cdef double imbalance = 2.0 * b.bought - b.volume
    cdef int64_t place = b.count % b.kept
    b.imbalances[place] = imbalance if imbalance >= 0 else -imbalance
    b.volumes[place] = b.volume
    b.count += 1
    _buckets_open(b)


cdef bint _buckets_fill(Buckets* b, double lots, double share, int64_t now) noexcept nogil:
    """Pour lots in, a share of them bought; whether a bucket closed."""
    cdef double take, whole
    cdef int64_t before = b.count
    _buckets_roll(b, now)
    if b.volume == 0.0:
        _buckets_open(b)
    while lots > 0.0 and b.volume > 0.0:
        whole = floor(lots / b.volume)
        if b.filled == 0.0 and whole > b.kept + 1:
            lots -= (whole - b.kept - 1) * b.volume      # buckets that would leave the ring again at once
            b.count += <int64_t> (whole - b.kept - 1)
        take = min(lots, b.volume - b.filled)
        b.filled += take
        b.bought += take * share
        lots -= take
        if b.filled >= b.volume:
            _buckets_close(b)
    return b.count != before


cdef double _buckets_vpin(const Buckets* b) noexcept nogil:
    """Sum of imbalances over the sum of volumes, summed anew at each bucket; NaN until the ring is full."""
    cdef double imbalance = 0.0, volume = 0.0
    cdef int i
    if b.count < b.kept:
        return NAN
    for i in range(b.kept):
        imbalance += b.imbalances[i]
        volume += b.volumes[i]
    return imbalance / volume


cdef class Vpin(Feature):
    """Volume-synchronised probability of informed trading with the trades' own signs (Easley et al. 2012).

    A trade of unknown sign counts half bought, half sold. `volume` 0: 1/50 of the volume of the last whole horizon.
    """

    def __cinit__(self, double volume, int buckets, int64_t horizon_ns):
        _buckets_make(&self.buckets, volume, buckets, horizon_ns)

    def __dealloc__(self):
        _buckets_free(&self.buckets)

    def __init__(self, double volume, int buckets, int64_t horizon_ns):
        self.hears, self.dirty = HEARS_TRADE, DIRTY_TRADE

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        cdef bint closed = _buckets_fill(&self.buckets, <double> t.lots, 0.5 + 0.5 * t.sign, t.now)
        _buckets_count(&self.buckets, <double> t.lots)
        if closed:
            self.out[0][0] = _buckets_vpin(&self.buckets)
        return INT64_MAX


cdef class BulkVpin(Feature):
    """VPIN with bulk volume classification: of a bar's volume, the share Phi(dP / sigma) bought.

    dP is the change of the bars' closes (bars without trades are left out), sigma its deviation to date (n - 1).
    Without a sigma yet, or with sigma 0, the share is a half.
    """

    def __cinit__(self, double volume, int buckets, int64_t bar_ns, int64_t horizon_ns):
        _buckets_make(&self.buckets, volume, buckets, horizon_ns)

    def __dealloc__(self):
        _buckets_free(&self.buckets)

    def __init__(self, double volume, int buckets, int64_t bar_ns, int64_t horizon_ns):
        if bar_ns <= 0:
            raise ValueError("bars must be > 0 ns")
        self.hears, self.dirty = HEARS_TRADE | HEARS_TIME, DIRTY_BOOK | DIRTY_TRADE
        self.bar_ns, self.end = bar_ns, INT64_MIN

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        if self.volume == 0.0:
            self.end = (t.now // self.bar_ns + 1) * self.bar_ns
        self.volume = self.volume + <double> t.lots
        self.close = t.ticks
        return self.end - 1

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        if self.volume == 0.0:
            return INT64_MAX
        if now >= self.end:
            self._close()
            return INT64_MAX
        return self.end - 1

    cdef void _close(self) noexcept nogil:
        """A bar with trades has ended."""
        cdef double share = 0.5, variance, change
        if self.has_before:
            change = <double> (self.close - self.close_before)
            self.count = self.count + 1
            self.total = self.total + (self.close - self.close_before)
            sum_add(&self.squares, change * change)
            if self.count > 1:
                variance = (sum_value(&self.squares) - <double> self.total * <double> self.total / self.count) / (
                    self.count - 1)
                if variance > 0.0:
                    share = 0.5 * erfc(-change / sqrt(2.0 * variance))
        self.close_before, self.has_before = self.close, True
        if _buckets_fill(&self.buckets, self.volume, share, self.end - 1):
            self.out[0][0] = _buckets_vpin(&self.buckets)
        _buckets_count(&self.buckets, self.volume)
        self.volume = 0.0


# ---- Hawkes ----------------------------------------------------------------------------------------------------------

cdef class Hawkes(Feature):
    """Intensity of trades a second, mu + alpha * sum of exp(-beta * (t - t_i)); trades at one time are one event.

    Source: Hawkes 1971. The value at an event counts it in; just before, it is the value decayed.
    """

    def __init__(self, double mu, double alpha, double beta):
        if not (mu > 0 and alpha >= 0 and beta > 0 and alpha / beta < 1):
            raise ValueError("Hawkes needs mu > 0, alpha >= 0, beta > 0 and alpha / beta < 1")
        self.hears, self.dirty = HEARS_BOOK | HEARS_TRADE | HEARS_READ, DIRTY_BOOK | DIRTY_TRADE
        self.mu, self.alpha, self.beta, self.ts = mu, alpha, beta, -1

    cdef void _tell(self, int64_t now) noexcept nogil:
        if self.ts >= 0:
            self.out[0][0] = self.mu + self.alpha * self.excited * exp(-self.beta * (<double> (now - self.ts) * 1e-9))

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        if t.now != self.ts:
            self.excited = (self.excited * exp(-self.beta * (<double> (t.now - self.ts) * 1e-9))
                            if self.ts >= 0 else 0.0) + 1.0
            self.ts = t.now
        self._tell(t.now)
        return INT64_MAX

    cdef void on_book(self, const Market* m) noexcept nogil:
        self._tell(m.now)

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        self._tell(now)
        return INT64_MIN


cdef class HawkesPair(Feature):
    """Intensities a second of buys and of sells that excite themselves and each other, with one decay.

    Trades of one side at one time are one event. Told: buys, sells, (buys - sells) / (buys + sells), and the branching
    ratio (spectral radius of alpha / beta).
    """

    def __init__(self, double mu_buy, double mu_sell, double buy_buy, double buy_sell, double sell_buy,
                 double sell_sell, double beta):
        cdef double trace = buy_buy + sell_sell, gap = buy_buy - sell_sell
        cdef double radius
        if not (mu_buy > 0 and mu_sell > 0 and min(buy_buy, buy_sell, sell_buy, sell_sell) >= 0 and beta > 0):
            raise ValueError("Hawkes needs mu > 0, alphas >= 0 and beta > 0")
        radius = 0.5 * (trace + sqrt(gap * gap + 4.0 * buy_sell * sell_buy)) / beta
        if not radius < 1:
            raise ValueError(f"a branching ratio of {radius:.4g} explodes: it must be below 1")
        self.hears, self.dirty = HEARS_BOOK | HEARS_TRADE | HEARS_READ, DIRTY_BOOK | DIRTY_TRADE
        self.mu[0], self.mu[1], self.beta, self.ts = mu_buy, mu_sell, beta, -1
        self.alpha[0], self.alpha[1], self.alpha[2], self.alpha[3] = buy_buy, buy_sell, sell_buy, sell_sell
        self.last[0] = self.last[1] = -1
        self.radius = radius

    cdef void _tell(self, int64_t now) noexcept nogil:
        cdef double decay, buys, sells
        if self.ts < 0:
            return
        decay = exp(-self.beta * (<double> (now - self.ts) * 1e-9))
        buys = self.mu[0] + (self.alpha[0] * self.excited[0] + self.alpha[1] * self.excited[1]) * decay
        sells = self.mu[1] + (self.alpha[2] * self.excited[0] + self.alpha[3] * self.excited[1]) * decay
        self.out[0][0], self.out[1][0] = buys, sells
        self.out[2][0] = (buys - sells) / (buys + sells)
        self.out[3][0] = self.radius

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        cdef int side = 0 if t.sign > 0 else 1
        cdef double decay
        if t.sign == 0:
            return INT64_MAX
        if t.now != self.ts and self.ts >= 0:
            decay = exp(-self.beta * (<double> (t.now - self.ts) * 1e-9))
            self.excited[0] = self.excited[0] * decay
            self.excited[1] = self.excited[1] * decay
        self.ts = t.now
        if self.last[side] != t.now:
            self.excited[side] = self.excited[side] + 1.0
            self.last[side] = t.now
        self._tell(t.now)
        return INT64_MAX

    cdef void on_book(self, const Market* m) noexcept nogil:
        self._tell(m.now)

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        self._tell(now)
        return INT64_MIN


def excitation(const double[::1] times not None, const double[::1] events not None, double beta,
               double[:, ::1] out not None):
    """Decayed counts of events before given times, and their derivatives by beta; see features_trades.pyi."""
    cdef Py_ssize_t i, k = 0
    cdef double a = 0.0, b = 0.0, at = 0.0, dt, decay
    if out.shape[0] != times.shape[0] or out.shape[1] != 2:
        raise ValueError("out needs a row of two for each time")
    with nogil:
        for i in range(times.shape[0]):
            while k < events.shape[0] and events[k] < times[i]:
                dt = events[k] - at
                decay = exp(-beta * dt)
                b = decay * (b - dt * a)
                a = decay * a + 1.0
                at = events[k]
                k += 1
            dt = times[i] - at
            decay = exp(-beta * dt)
            out[i, 0], out[i, 1] = decay * a, decay * (b - dt * a)
