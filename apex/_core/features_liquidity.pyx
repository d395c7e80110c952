"""Price impact (Kyle, Hasbrouck), illiquidity of bars (Amihud, Corwin and Schultz), and large trades."""

from libc.math cimport NAN, exp, log, pow, sqrt
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t
from libc.stdlib cimport calloc, free, malloc

from apex._core.feature cimport (
    DIRTY_BOOK, DIRTY_TRADE, HEARS_READ, HEARS_TIME, HEARS_TRADE, PARENTS_MAX, STEPS_MAX, Feature, Market, Print,
    ranked_add, ranked_deviation, ranked_drop, ranked_free, ranked_median, ranked_new, ranked_quantile, sum_add,
    sum_drop, sum_value,
)

cdef enum:
    FLAGS_MAX = 4096         # flagged parents within the window; beyond, the oldest are forgotten and counted

cdef double SILENCE = 64.0       # after so many tau without an interval, a regression begins anew


cdef class PriceImpact(Feature):
    """Slope of the change of the mid over `step` on the signed volume in it, and R^2: least squares with weights
    exp(-age / tau), the moments kept about their means.

    kyle: ticks on the sum of sign * lots ** power. hasbrouck: log return on the sum of sign * sqrt(value). Known from
    tau / step intervals on; NaN without variance of the volume. Sources: Kyle 1985, Hasbrouck 2009.
    """

    def __init__(self, int64_t step_ns, int64_t tau_ns, double power, bint relative):
        if not (0 < step_ns <= tau_ns and 0 < power <= 1):
            raise ValueError("price impact needs 0 < step <= tau and 0 < power <= 1")
        self.hears, self.dirty = HEARS_TRADE | HEARS_TIME, DIRTY_BOOK
        self.step_ns, self.tau_ns, self.power, self.relative = step_ns, <double> tau_ns, power, relative
        self.decay = exp(-<double> step_ns / self.tau_ns)
        self.warm = max((tau_ns + step_ns - 1) // step_ns, 2)
        self._forget()

    cdef void _forget(self) noexcept nogil:
        self.step_next, self.step_mid2, self.count, self.flow = -1, 0, 0, 0.0
        self.weight = self.mean_x = self.mean_y = self.xx = self.xy = self.yy = 0.0

    cdef void on_gap(self) noexcept nogil:
        self.blank()
        self._forget()

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        cdef double size
        if self.step_mid2 == 0:                               # before the first grid point nothing counts
            return INT64_MAX
        size = t.value if self.relative else <double> t.lots
        if self.power != 1.0:
            size = sqrt(size) if self.power == 0.5 else pow(size, self.power)
        self.flow = self.flow + t.sign * size
        return INT64_MAX

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        """Close every grid point before `now` with the mid that held there."""
        if self.step_next < 0:
            if m.since < 0:
                return INT64_MIN
            self.step_next = (max(m.since, self.asked) // self.step_ns + 1) * self.step_ns
        if self.step_next >= now:
            return self.step_next
        if <double> (now - self.step_next) > SILENCE * self.tau_ns:
            self._forget()
            self.blank()
            self.step_next = (now - 1) // self.step_ns * self.step_ns
        while self.step_next < now:
            if self.step_mid2 > 0 and m.mid2 > 0:
                self._push(self.flow, (log((<double> m.mid2) / (<double> self.step_mid2)) if self.relative
                                       else 0.5 * <double> (m.mid2 - self.step_mid2)))
            self.flow = 0.0
            self.step_mid2 = m.mid2
            self.step_next = self.step_next + self.step_ns
        if self.count >= self.warm:
            self.out[0][0] = self.xy / self.xx if self.xx > 0.0 else NAN
            self.out[1][0] = self.xy * self.xy / (self.xx * self.yy) if self.xx > 0.0 and self.yy > 0.0 else NAN
        return self.step_next

    cdef void _push(self, double x, double y) noexcept nogil:
        cdef double dx = x - self.mean_x, dy = y - self.mean_y
        self.weight = self.decay * self.weight + 1.0
        self.mean_x = self.mean_x + (dx / self.weight)
        self.mean_y = self.mean_y + (dy / self.weight)
        self.xx = self.decay * self.xx + dx * (x - self.mean_x)
        self.xy = self.decay * self.xy + dx * (y - self.mean_y)
        self.yy = self.decay * self.yy + dy * (y - self.mean_y)
        self.count = self.count + 1


cdef class BarMeasures(Feature):
    """Over the last `bars` bars with trades: 1e6 * mean of |return| / value (Amihud 2002), and the mean of the spreads
    that Corwin and Schultz (2012) find in two bars each, those below 0 counting 0.
    """

    def __cinit__(self, int64_t bar_ns, int bars):
        if bar_ns <= 0 or not 1 <= bars <= STEPS_MAX:
            raise ValueError(f"bars must be > 0 ns, and 1 to {STEPS_MAX} of them")
        self.ratios = <double*> calloc(bars, sizeof(double))
        self.spreads = <double*> calloc(bars, sizeof(double))
        if self.ratios == NULL or self.spreads == NULL:
            raise MemoryError("no memory for bars")

    def __dealloc__(self):
        free(self.ratios)
        free(self.spreads)

    def __init__(self, int64_t bar_ns, int bars):
        self.hears, self.dirty = HEARS_TRADE | HEARS_TIME, DIRTY_BOOK | DIRTY_TRADE
        self.bar_ns, self.bars = bar_ns, bars

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        if self.trades == 0:
            self.end = (t.now // self.bar_ns + 1) * self.bar_ns
            self.high = self.low = t.ticks
            self.value = 0.0
        self.high, self.low, self.close = max(self.high, t.ticks), min(self.low, t.ticks), t.ticks
        self.value = self.value + t.value
        self.trades = self.trades + 1
        return self.end - 1

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        if self.trades == 0:
            return INT64_MAX
        if now >= self.end:
            self._close()
            return INT64_MAX
        return self.end - 1

    cdef void _close(self) noexcept nogil:
        """A bar with trades has ended."""
        cdef int64_t place = (self.count - 1) % self.bars
        cdef double ratio = 0.0, spread = 0.0, change
        cdef int i
        self.trades = 0
        if self.value <= 0.0:
            return
        if self.count > 0:
            change = <double> (self.close - self.close_before) / <double> self.close_before
            self.ratios[place] = (change if change >= 0 else -change) / self.value
            self.spreads[place] = _corwin(self.high_before, self.low_before, self.high, self.low)
        self.high_before, self.low_before, self.close_before = self.high, self.low, self.close
        self.count = self.count + 1
        if self.count > self.bars:
            for i in range(self.bars):
                ratio += self.ratios[i]
                spread += self.spreads[i]
            self.out[0][0], self.out[1][0] = 1e6 * ratio / self.bars, spread / self.bars


cdef double _corwin(int64_t high1, int64_t low1, int64_t high2, int64_t low2) noexcept nogil:
    """Spread as a fraction of the price from the highs and lows of two bars."""
    cdef double a = log(<double> high1 / <double> low1), b = log(<double> high2 / <double> low2), alpha
    cdef double c = log(<double> max(high1, high2) / <double> min(low1, low2)), beta = a * a + b * b
    cdef double root = 3.0 - 2.0 * sqrt(2.0)
    alpha = (sqrt(2.0 * beta) - sqrt(beta)) / root - sqrt(c * c / root)
    return max(2.0 * (exp(alpha) - 1.0) / (1.0 + exp(alpha)), 0.0)


# ---- large trades ----------------------------------------------------------------------------------------------------

cdef int _kept_make(Kept* k) except -1:
    k.ranked = ranked_new(PARENTS_MAX)
    k.values = <double*> malloc(PARENTS_MAX * sizeof(double))
    k.times = <int64_t*> malloc(PARENTS_MAX * sizeof(int64_t))
    if k.values == NULL or k.times == NULL:
        raise MemoryError("no memory for parents")
    return 0


cdef void _kept_free(Kept* k) noexcept nogil:
    ranked_free(k.ranked)
    free(k.values)
    free(k.times)


cdef void _kept_pop(Kept* k) noexcept nogil:
    ranked_drop(k.ranked, k.values[k.first % PARENTS_MAX])
    k.first += 1


cdef void _kept_expire(Kept* k, int64_t now, int64_t span_ns, int64_t least) noexcept nogil:
    """Let go of what is older than the span, but keep the last `least`."""
    while k.next - k.first > least and now - k.times[k.first % PARENTS_MAX] >= span_ns:
        _kept_pop(k)


cdef int _kept_add(Kept* k, int64_t now, double x) noexcept nogil:
    """Count a value in; 1 when the oldest had to go for it."""
    cdef int lost = k.next - k.first == PARENTS_MAX
    if lost:
        _kept_pop(k)
    k.values[k.next % PARENTS_MAX], k.times[k.next % PARENTS_MAX] = x, now
    k.next += 1
    ranked_add(k.ranked, x)
    return lost


cdef class Whales(Feature):
    """Parents (trades of one side at most 1 ms apart on the venue's clock) far larger than the usual (methods 2.9).

    A parent ends with the first trade that is not part of it, or when nothing came for 1 ms. With y = ln(value), it is
    flagged when z = 0.6745 * (y - median) / MAD over the parents of the last `horizon`, and at least `parents`, exceeds
    `z`, and its value reaches the quantile `q` of the parents of `rank_horizon`; itself not among them. With `times`
    above 0 it is flagged when its value exceeds so many medians instead. Told: (bought - sold) / (bought + sold) of the
    flagged value within `window`, its sign and size; z and flag of the last parent; flagged parents; bought - sold.
    """

    def __cinit__(self, *args, **kwargs):
        _kept_make(&self.logs)
        _kept_make(&self.values)
        self.flagged = <Flagged*> calloc(FLAGS_MAX, sizeof(Flagged))
        if self.flagged == NULL:
            raise MemoryError("no memory for parents")

    def __dealloc__(self):
        _kept_free(&self.logs)
        _kept_free(&self.values)
        free(self.flagged)

    def __init__(self, int64_t window_ns, int parents, int64_t horizon_ns, double z, double q, int64_t rank_ns,
                 double times):
        if not (window_ns > 0 and 1 <= parents <= PARENTS_MAX and horizon_ns > 0 and rank_ns > 0 and 0 <= q <= 1
                and times >= 0):
            raise ValueError(f"whales need windows > 0 ns, parents 1 to {PARENTS_MAX}, q 0 to 1 and times >= 0")
        self.hears, self.dirty = HEARS_TRADE | HEARS_TIME | HEARS_READ, DIRTY_BOOK | DIRTY_TRADE
        self.window_ns, self.parents, self.horizon_ns, self.rank_ns = window_ns, parents, horizon_ns, rank_ns
        self.limit, self.quantile, self.times, self.gap_ns = z, q, times, 1_000_000

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        cdef int64_t apart = t.ts_exchange_ns - self.ts_exchange_ns
        if self.value > 0.0 and (t.sign != self.sign or apart > self.gap_ns or -apart > self.gap_ns):
            self._close(t.now)
        if t.value <= 0.0:
            return INT64_MAX
        self.sign, self.ts, self.ts_exchange_ns = t.sign, t.now, t.ts_exchange_ns
        self.value = self.value + t.value
        return self.ts + self.gap_ns

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        cdef int64_t due = INT64_MAX
        if self.value > 0.0 and now - self.ts > self.gap_ns:
            self._close(now)
        if self.flag_first != self.flag_next:
            self._expire(now)
        if self.value > 0.0:
            due = self.ts + self.gap_ns
        if self.flag_first != self.flag_next:
            due = min(due, self.flagged[self.flag_first % FLAGS_MAX].ts + self.window_ns - 1)
        return due

    cdef void _close(self, int64_t now) noexcept nogil:
        """Judge the open parent by those before it, then count it among them. Its time is that of its last trade,
        whenever its end was noticed."""
        cdef double value = self.value, y = log(value)
        cdef bint flag = False
        cdef Flagged* new
        self.value = 0.0
        _kept_expire(&self.logs, self.ts, self.horizon_ns, self.parents)
        _kept_expire(&self.values, self.ts, self.rank_ns, 1)
        if self.logs.ranked.count >= self.parents:
            flag = self._judge(y) and value >= ranked_quantile(self.values.ranked, self.quantile)
            self.out[4][0] = 1.0 if flag else 0.0
            if flag and self.sign:
                if self.flag_next - self.flag_first == FLAGS_MAX:
                    self._expire(self.flagged[self.flag_first % FLAGS_MAX].ts + self.window_ns)
                    self.forgotten = self.forgotten + 1
                new = &self.flagged[self.flag_next % FLAGS_MAX]
                new.ts, new.value = self.ts, self.sign * value
                self.flag_next = self.flag_next + 1
                sum_add(&self.bought if self.sign > 0 else &self.sold, value)
            self._expire(now)
        self.forgotten = self.forgotten + _kept_add(&self.logs, self.ts, y)
        _kept_add(&self.values, self.ts, value)

    cdef bint _judge(self, double y) noexcept nogil:
        """Whether a parent is large for its time."""
        cdef double median = ranked_median(self.logs.ranked), deviation
        deviation = ranked_deviation(self.logs.ranked, median)
        self.out[3][0] = 0.6745 * (y - median) / deviation if deviation > 0.0 else NAN
        if self.times > 0.0:
            return exp(y - median) > self.times
        return deviation > 0.0 and 0.6745 * (y - median) / deviation > self.limit

    cdef void _expire(self, int64_t now) noexcept nogil:
        """Let go of the flagged parents that are out of the window, and tell of the rest."""
        cdef Flagged* old
        cdef double bought, sold, net
        while self.flag_first < self.flag_next:
            old = &self.flagged[self.flag_first % FLAGS_MAX]
            if now - old.ts < self.window_ns:
                break
            if old.value > 0.0:
                sum_drop(&self.bought, old.value)
            else:
                sum_drop(&self.sold, -old.value)
            self.flag_first = self.flag_first + 1
        bought, sold = sum_value(&self.bought), sum_value(&self.sold)
        net = bought - sold
        self.out[0][0] = net / (bought + sold) if bought + sold > 0.0 else 0.0
        self.out[1][0] = (net > 0.0) - (net < 0.0)
        self.out[2][0] = (net if net >= 0.0 else -net) / (bought + sold) if bought + sold > 0.0 else 0.0
        self.out[5][0] = <double> (self.flag_next - self.flag_first)
        self.out[6][0] = net
