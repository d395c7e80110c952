"""The shape of the book: walls, clusters of resting size (support and resistance), and a score of spoofing."""

from libc.math cimport INFINITY, NAN, exp, log
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memmove, memset

from apex._core.book cimport book_quantity
from apex._core.events cimport BUY, SELL
from apex._core.feature cimport (
    DEPTH_MAX, DIRTY_BOOK, HEARS_BOOK, HEARS_GRID, HEARS_TRADE, ROWS_MAX, WALK_MAX, Feature, Market, Print,
    Window, band_end, in_band, levels_within, middle, ranked_add,
    ranked_clear, ranked_drop, ranked_free, ranked_median, ranked_new, window_add, window_clear, window_expire,
    window_free, window_make,
)

cdef int64_t HOUR_NS = 3_600_000_000_000
cdef int64_t HIT_NS = 500_000_000        # a decrease may be due to a trade at its price so long before


cdef inline double _off(const Market* m, int64_t tick) noexcept nogil:
    """Distance of a price from the mid in bp."""
    cdef int64_t off = 2 * tick - m.mid2
    return <double> (off if off > 0 else -off) * 1e4 / <double> m.mid2


# ---- walls -----------------------------------------------------------------------------------------------------------

cdef class Walls(Feature):
    """Levels far larger than the others of their side (methods 2.8).

    A level is a wall when the logarithm of its lots lies more than `k` robust deviations above the median of the other
    levels of its side within `band` bp, its value is at least `value_min` and at least `share` of the median hourly
    traded value of the last 24 whole hours, and it has been so at every look for `persist`. Told of each side: how
    many there are; price, lots, age in s, strength (lots over the median) and distance in bp of the strongest.
    """

    def __cinit__(self, *args, **kwargs):
        self.ticks = <int64_t*> calloc(WALK_MAX, sizeof(int64_t))
        self.lots = <int64_t*> calloc(WALK_MAX, sizeof(int64_t))
        self.logs = <double*> calloc(WALK_MAX, sizeof(double))
        self.ordered = <double*> calloc(WALK_MAX, sizeof(double))
        if self.ticks == NULL or self.lots == NULL or self.logs == NULL or self.ordered == NULL:
            raise MemoryError("no memory for walls")

    def __dealloc__(self):
        free(self.ticks)
        free(self.lots)
        free(self.logs)
        free(self.ordered)

    def __init__(self, double band, double k, double value_min, double share, int64_t persist_ns, int64_t every_ns):
        if not (0 < band <= 10_000 and 1 <= k and value_min >= 0 and share >= 0 and persist_ns >= 0 and every_ns >= 0):
            raise ValueError("walls need band > 0, k >= 1, and value, share, persist and every >= 0")
        self.hears, self.dirty, self.every_ns = HEARS_GRID | HEARS_TRADE, DIRTY_BOOK, every_ns
        self.band, self.k, self.value_min, self.share, self.persist_ns = band, k, value_min, share, persist_ns
        self.hour = -1

    cdef void on_gap(self) noexcept nogil:
        self.wall_count[0] = self.wall_count[1] = 0

    cdef void _roll(self, int64_t now) noexcept nogil:
        cdef int64_t hour = now // HOUR_NS
        if hour - self.hour > 25:
            memset(self.hours, 0, sizeof(self.hours))
            self.hour = hour
        while self.hour < hour:
            self.hour = self.hour + 1
            self.hours[self.hour % 25] = 0.0

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        if self.hour < 0:
            self.hour = self.hour_first = t.now // HOUR_NS
        self._roll(t.now)
        self.hours[self.hour % 25] = self.hours[self.hour % 25] + t.value
        return INT64_MAX

    cdef double _floor(self, int64_t now) noexcept nogil:
        """Least value of a wall. The hour of the first trade is not whole."""
        cdef int64_t known, i
        cdef double ordered[24]
        if self.hour < 0:
            return self.value_min
        self._roll(now)
        known = min(self.hour - self.hour_first - 1, <int64_t> 24)
        if known <= 0:
            return self.value_min
        for i in range(known):
            ordered[i] = self.hours[(self.hour - 1 - i) % 25]
        return max(self.value_min, self.share * middle(ordered, known))

    cdef void on_book(self, const Market* m) noexcept nogil:
        cdef double floor = self._floor(m.now)
        self._side(m, 0, floor)
        self._side(m, 1, floor)

    cdef void _side(self, const Market* m, int side, double floor) noexcept nogil:
        """Only a level above the median can be a wall, so the median without it is the same for all that can."""
        cdef int64_t since
        cdef int what = SELL if side else BUY, n, i, w, count = 0, kept = 0, best = -1, apart = 0
        cdef double median, sigma, total = 0.0, lots, strongest = -INFINITY
        cdef Wall found[WALLS_MAX]
        n = levels_within(m.book, what, band_end(m, side, self.band), WALK_MAX, self.ticks, self.lots)
        for i in range(n):
            self.logs[i] = self.ordered[i] = log(<double> self.lots[i])
        if n >= 3:
            median = _middle_of_others(self.ordered, n)
            for i in range(n):
                self.ordered[i] = self.logs[i] - median if self.logs[i] > median else median - self.logs[i]
                total += self.ordered[i]
                apart += self.ordered[i] > 0.0
            sigma = 1.4826 * _middle_of_others(self.ordered, n)
            for i in range(n):
                lots = self.logs[i] - median
                if lots <= 0.0:
                    continue
                if sigma == 0.0 and apart == 1:
                    continue                             # all others are equal: no scale to measure it by
                if not lots > self.k * (sigma if sigma > 0.0 else 1.2533 * (total - lots) / (n - 1)):
                    continue
                if <double> self.lots[i] * (<double> self.ticks[i] * m.value_scale + m.value_lot) < floor:
                    continue
                since = m.now
                for w in range(self.wall_count[side]):
                    if self.walls[side][w].ticks == self.ticks[i]:
                        since = self.walls[side][w].since
                if kept < WALLS_MAX:
                    found[kept].ticks, found[kept].since = self.ticks[i], since
                    kept += 1
                if m.now - since >= self.persist_ns:
                    count += 1
                    if lots > strongest:
                        strongest, best = lots, kept - 1
        for w in range(kept):
            self.walls[side][w] = found[w]
        self.wall_count[side] = kept
        self._tell(m, side, best, strongest, count)

    cdef void _tell(self, const Market* m, int side, int best, double strongest, int count) noexcept nogil:
        cdef int part = 6 * side, i
        self.out[part][0] = <double> count
        for i in range(1, 6):
            self.out[part + i][0] = NAN
        if best >= 0:
            i = SELL if side else BUY
            self.out[part + 1][0] = <double> self.walls[side][best].ticks
            self.out[part + 2][0] = <double> book_quantity(m.book, i, self.walls[side][best].ticks)
            self.out[part + 3][0] = <double> (m.now - self.walls[side][best].since) / 1e9
            self.out[part + 4][0] = exp(strongest)
            self.out[part + 5][0] = _off(m, self.walls[side][best].ticks)


cdef double _middle_of_others(double* values, int count) noexcept nogil:
    """Median of all values but the greatest; they change their places."""
    cdef int i, greatest = 0
    for i in range(1, count):
        if values[i] > values[greatest]:
            greatest = i
    values[greatest], values[count - 1] = values[count - 1], values[greatest]
    return middle(values, count - 1)


# ---- clusters --------------------------------------------------------------------------------------------------------

cdef class Clusters(Feature):
    """Where resting size of one side gathers (methods 2.8): support of bids, resistance of asks.

    The density of lots over the log distance from the mid (Epanechnikov kernel of `bandwidth` bp, at every bp up to
    `band`), a level weighing lots * (1 - exp(-age / `age`)). A cluster is a local maximum that stands out by more than
    twice the median density; told of the five densest: price in ticks (density-weighted mean), lots, distance in bp.
    """

    def __cinit__(self, *args, **kwargs):
        self.ticks = <int64_t*> calloc(WALK_MAX, sizeof(int64_t))
        self.since = <int64_t*> calloc(WALK_MAX, sizeof(int64_t))
        self.ticks_now = <int64_t*> calloc(WALK_MAX, sizeof(int64_t))
        self.since_now = <int64_t*> calloc(WALK_MAX, sizeof(int64_t))
        self.lots = <int64_t*> calloc(WALK_MAX, sizeof(int64_t))
        if (self.ticks == NULL or self.since == NULL or self.ticks_now == NULL or self.since_now == NULL
                or self.lots == NULL):
            raise MemoryError("no memory for clusters")

    def __dealloc__(self):
        free(self.ticks)
        free(self.since)
        free(self.ticks_now)
        free(self.since_now)
        free(self.lots)

    def __init__(self, double band, double bandwidth, int64_t age_ns, int64_t every_ns, int side):
        if not (1 <= band < BINS_MAX and 0 < bandwidth <= band and age_ns > 0 and every_ns >= 0):
            raise ValueError(f"clusters need 1 <= band < {BINS_MAX} bp, bandwidth within, age > 0, every >= 0")
        self.hears, self.dirty, self.every_ns = HEARS_GRID, DIRTY_BOOK, every_ns
        self.side, self.band, self.bandwidth, self.age_ns = side, band, bandwidth, <double> age_ns

    cdef void on_gap(self) noexcept nogil:
        self.count = 0

    cdef int _levels(self, const Market* m) noexcept nogil:
        """The levels within the band, and since when each has been seen at every look; their number."""
        cdef int n = levels_within(m.book, self.side, band_end(m, self.side == SELL, self.band), WALK_MAX,
                                   self.ticks_now, self.lots)
        cdef int64_t tick
        cdef int i, old = 0
        for i in range(n):
            tick = self.ticks_now[i]
            while old < self.count and (self.ticks[old] > tick if self.side == BUY else self.ticks[old] < tick):
                old += 1
            self.since_now[i] = self.since[old] if old < self.count and self.ticks[old] == tick else m.now
        self.ticks, self.ticks_now = self.ticks_now, self.ticks
        self.since, self.since_now = self.since_now, self.since
        self.count = n
        return n

    cdef void on_book(self, const Market* m) noexcept nogil:
        cdef int i, j, bins = <int> self.band + 1                 # <= BINS_MAX
        cdef int first, last
        cdef int64_t since = m.now
        cdef double x, u, weight, grown = 0.0
        self.blank()
        if m.mid2 <= 0:
            return
        memset(self.density, 0, sizeof(self.density))
        for i in range(self._levels(m)):
            if self.ticks[i] <= 0 or self.since[i] == m.now:
                continue
            x = log(2.0 * <double> self.ticks[i] / <double> m.mid2) * 1e4
            x = x if x >= 0 else -x
            if self.since[i] != since:
                since = self.since[i]
                grown = 1.0 - exp(-<double> (m.now - since) / self.age_ns)
            weight = <double> self.lots[i] * grown
            first, last = max(<int> (x - self.bandwidth), 0), min(<int> (x + self.bandwidth) + 1, bins - 1)
            for j in range(first, last + 1):
                u = (<double> j - x) / self.bandwidth
                if -1.0 < u < 1.0:                                # 0 <= j < bins
                    self.density[j + 1] = self.density[j + 1] + (weight * 0.75 * (1.0 - u * u) / self.bandwidth)
        self._peaks(m, bins)

    cdef void _peaks(self, const Market* m, int bins) noexcept nogil:
        """The five densest maxima; density[0] and density[bins + 1] are 0."""
        cdef double* d = self.density
        cdef double median, low, side, total, moment
        cdef int j, k, rank, at, found = 0
        cdef int best[5]
        memmove(self.ordered, d + 1, bins * sizeof(double))
        median = middle(self.ordered, bins)
        for j in range(1, bins + 1):
            if not (d[j] > d[j - 1] and d[j] >= d[j + 1]):
                continue
            low = d[j]                                            # prominence: over the higher of both lowest points
            k = j - 1
            while k >= 0 and d[k] <= d[j]:
                low = min(low, d[k])
                k -= 1
            side = d[j]
            k = j + 1
            while k <= bins + 1 and d[k] <= d[j]:
                side = min(side, d[k])
                k += 1
            if not d[j] - max(low, side) > 2.0 * median:
                continue
            at = found
            while at > 0 and d[best[at - 1]] < d[j]:
                if at < 5:
                    best[at] = best[at - 1]
                at -= 1
            if at < 5:
                best[at] = j
            found = min(found + 1, 5)
        for rank in range(found):
            j = best[rank]
            total, moment = d[j], d[j] * <double> (j - 1)
            k = j - 1
            while k > 0 and d[k] <= d[k + 1]:
                total, moment = total + d[k], moment + d[k] * <double> (k - 1)
                k -= 1
            k = j + 1
            while k <= bins and d[k] <= d[k - 1]:
                total, moment = total + d[k], moment + d[k] * <double> (k - 1)
                k += 1
            moment /= total
            self.out[rank][0] = 0.5 * <double> m.mid2 * exp((-moment if self.side == BUY else moment) / 1e4)
            self.out[5 + rank][0] = total
            self.out[10 + rank][0] = moment


# ---- spoofing --------------------------------------------------------------------------------------------------------

cdef class Spoofing(Feature):
    """Score of each side in 0 to 1: large size placed away from the touch, not traded, soon taken back, right after
    trades of the other side (methods 2.10). A measure of behaviour, not an accusation.

    Levels 2 to `levels` within `band` bp. Large: at least 4 typical levels (the median of the side's levels at the last
    look). An increase of a level is placed; of a decrease, what trades at that price within 500 ms before explain is
    traded, and the rest cancelled when it is large; it takes back the newest placements at its price.
    """

    def __cinit__(self, int levels, double band, int64_t window_ns, int64_t every_ns):
        cdef int i
        for i in range(2):
            window_make(&self.sides[i].placed, window_ns, 1)
            window_make(&self.sides[i].traded, window_ns, 1)
            window_make(&self.sides[i].cancelled, window_ns, 3)
            self.sides[i].lives = ranked_new(ROWS_MAX)

    def __dealloc__(self):
        cdef int i
        for i in range(2):
            window_free(&self.sides[i].placed)
            window_free(&self.sides[i].traded)
            window_free(&self.sides[i].cancelled)
            ranked_free(self.sides[i].lives)

    def __init__(self, int levels, double band, int64_t window_ns, int64_t every_ns):
        if not (2 <= levels <= DEPTH_MAX and 0 < band <= 10_000 and every_ns > 0):
            raise ValueError(f"spoofing needs 2 to {DEPTH_MAX} levels, band > 0 and every > 0")
        self.hears, self.dirty, self.depth = HEARS_BOOK | HEARS_TRADE, DIRTY_BOOK, levels
        self.levels, self.band, self.step_ns, self.opposite_ns = levels, band, every_ns, HIT_NS
        self.sides[0].trade_ts = self.sides[1].trade_ts = INT64_MIN
        self.step_next = INT64_MIN

    cdef void on_gap(self) noexcept nogil:
        cdef SpoofSide* s
        cdef int i
        self.blank()
        self.has_book, self.step_next = False, INT64_MIN
        for i in range(2):
            s = &self.sides[i]
            s.open_count = s.hit_count = s.count = 0
            s.typical, s.trade_ts = 0.0, INT64_MIN
            window_clear(&s.placed)
            window_clear(&s.traded)
            window_clear(&s.cancelled)
            ranked_clear(s.lives)

    cdef int64_t on_trade(self, const Market* m, const Print* t) noexcept nogil:
        """A selling aggressor takes bids, a buying one asks."""
        cdef SpoofSide* s
        if t.sign == 0:
            return INT64_MAX
        s = &self.sides[0 if t.sign < 0 else 1]
        s.trade_ts = t.now
        if s.hit_count == HITS_MAX:
            memmove(&s.hits[0], &s.hits[1], (HITS_MAX - 1) * sizeof(Placement))
            s.hit_count -= 1
            self.forgotten = self.forgotten + 1
        s.hits[s.hit_count].ticks, s.hits[s.hit_count].left, s.hits[s.hit_count].ts = t.ticks, t.lots, t.now
        s.hit_count += 1
        return INT64_MAX

    cdef void on_book(self, const Market* m) noexcept nogil:
        cdef bint look = m.now >= self.step_next
        if not m.valid:
            self.blank()
            self.has_book = False
            return
        if self.has_book:
            self._compare(m, 0, m.bid_ticks, m.bid_sizes, min(m.bid_count, self.levels))
            self._compare(m, 1, m.ask_ticks, m.ask_sizes, min(m.ask_count, self.levels))
        self.sides[0].count, self.sides[1].count = min(m.bid_count, self.levels), min(m.ask_count, self.levels)
        memmove(self.sides[0].ticks, m.bid_ticks, DEPTH_MAX * sizeof(int64_t))
        memmove(self.sides[0].sizes, m.bid_sizes, DEPTH_MAX * sizeof(int64_t))
        memmove(self.sides[1].ticks, m.ask_ticks, DEPTH_MAX * sizeof(int64_t))
        memmove(self.sides[1].sizes, m.ask_sizes, DEPTH_MAX * sizeof(int64_t))
        self.has_book = True
        if look:
            self.step_next = (m.now // self.step_ns + 1) * self.step_ns
            self.out[0][0] = self._score(m, &self.sides[0], m.bid_ticks, m.bid_sizes, self.sides[0].count)
            self.out[1][0] = self._score(m, &self.sides[1], m.ask_ticks, m.ask_sizes, self.sides[1].count)

    cdef void _compare(self, const Market* m, int side, const int64_t* ticks, const int64_t* sizes,
                       int count) noexcept nogil:
        """Changes of the levels that both the book before and the book now show; the first level does not count."""
        cdef SpoofSide* s = &self.sides[side]
        cdef int64_t sign = -1 if side else 1, a, b, end = INT64_MIN
        cdef int i = 0, j = 0
        if s.count == self.levels:
            end = sign * s.ticks[s.count - 1]
        if count == self.levels:
            end = max(end, sign * ticks[count - 1])
        while i < s.count or j < count:
            a = sign * s.ticks[i] if i < s.count else INT64_MIN
            b = sign * ticks[j] if j < count else INT64_MIN
            if max(a, b) < end:
                break
            if a > b:
                if i:
                    self._shrunk(m, side, s.ticks[i], s.sizes[i])
                i += 1
            elif b > a:
                if j:
                    self._grown(m, s, ticks[j], sizes[j])
                j += 1
            else:
                if sizes[j] > s.sizes[i] and j:
                    self._grown(m, s, ticks[j], sizes[j] - s.sizes[i])
                elif sizes[j] < s.sizes[i] and i:
                    self._shrunk(m, side, ticks[j], s.sizes[i] - sizes[j])
                i, j = i + 1, j + 1

    cdef void _grown(self, const Market* m, SpoofSide* s, int64_t ticks, int64_t lots) noexcept nogil:
        if s.typical == 0.0 or <double> lots < 4.0 * s.typical or not in_band(m, ticks, self.band):
            return
        if s.open_count == OPEN_MAX:
            memmove(&s.open[0], &s.open[1], (OPEN_MAX - 1) * sizeof(Placement))
            s.open_count -= 1
            self.forgotten = self.forgotten + 1
        s.open[s.open_count].ticks, s.open[s.open_count].left, s.open[s.open_count].ts = ticks, lots, m.now
        s.open_count += 1
        self.forgotten = self.forgotten + window_add(&s.placed, m.now, &lots)

    cdef void _shrunk(self, const Market* m, int side, int64_t ticks, int64_t lots) noexcept nogil:
        cdef SpoofSide* s = &self.sides[side]
        cdef int64_t row[3]
        cdef int64_t traded = 0, take
        cdef int i
        for i in range(s.hit_count):
            if s.hits[i].ticks == ticks and m.now - s.hits[i].ts <= HIT_NS:
                take = min(s.hits[i].left, lots - traded)
                s.hits[i].left -= take
                traded += take
        lots -= traded
        for i in range(s.open_count):                            # trades take the oldest first
            if traded and s.open[i].ticks == ticks and m.now - s.open[i].ts < s.placed.span_ns and s.open[i].left:
                take = min(s.open[i].left, traded)
                s.open[i].left -= take
                traded -= take
                self.forgotten = self.forgotten + window_add(&s.traded, m.now, &take)
        if s.typical == 0.0 or <double> lots < 4.0 * s.typical:
            return
        for i in range(s.open_count - 1, -1, -1):                # cancellations the newest
            if lots and s.open[i].ticks == ticks and m.now - s.open[i].ts < s.placed.span_ns and s.open[i].left:
                take = min(s.open[i].left, lots)
                s.open[i].left -= take
                lots -= take
                row[0], row[2] = take, m.now - s.open[i].ts
                row[1] = take if m.now - self.opposite_ns <= self.sides[1 - side].trade_ts else 0
                _cancelled(s, m.now, row)

    cdef double _score(self, const Market* m, SpoofSide* s, const int64_t* ticks, const int64_t* sizes,
                       int count) noexcept nogil:
        """The score now, and the typical level from now on."""
        cdef double ordered[DEPTH_MAX]
        cdef double score = 0.0, typical = s.typical
        cdef int i, n = 0
        while s.hit_count and m.now - s.hits[n].ts > HIT_NS:
            n += 1
            if n == s.hit_count:
                break
        s.hit_count -= n
        memmove(&s.hits[0], &s.hits[n], s.hit_count * sizeof(Placement))
        n = 0
        for i in range(s.open_count):
            if s.open[i].left and m.now - s.open[i].ts < s.placed.span_ns:
                s.open[n] = s.open[i]
                n += 1
        s.open_count = n
        window_expire(&s.placed, m.now)
        window_expire(&s.traded, m.now)
        _expire_cancelled(s, m.now)
        if typical == 0.0 or <double> s.placed.sums[0] < 10.0 * typical:
            score = NAN
        elif s.cancelled.sums[0]:
            score = max(1.0 - <double> s.traded.sums[0] / <double> s.placed.sums[0], 0.0)
            score *= exp(-ranked_median(s.lives) / 1e9)
            score *= <double> s.cancelled.sums[1] / <double> s.cancelled.sums[0]
        n = 0
        for i in range(1, count):
            if in_band(m, ticks[i], self.band):
                ordered[n] = <double> sizes[i]
                n += 1
        if n:
            s.typical = middle(ordered, n)
        return score


cdef void _cancelled(SpoofSide* s, int64_t now, const int64_t* row) noexcept nogil:
    """Count a cancellation in; of a full window the oldest goes first, so that its lifetime goes too."""
    if s.cancelled.next - s.cancelled.first == ROWS_MAX:
        _forget_first(s)
    window_add(&s.cancelled, now, row)
    ranked_add(s.lives, <double> row[2])


cdef void _forget_first(SpoofSide* s) noexcept nogil:
    """Take the oldest cancellation out."""
    cdef Window* w = &s.cancelled
    cdef int64_t place = (w.first & w.mask) * w.width
    cdef int i
    for i in range(w.width):
        w.sums[i] -= w.rows[place + i]
    ranked_drop(s.lives, <double> w.rows[place + 2])
    w.first += 1


cdef void _expire_cancelled(SpoofSide* s, int64_t now) noexcept nogil:
    cdef Window* w = &s.cancelled
    while w.first < w.next and now - w.times[w.first & w.mask] >= w.span_ns:
        _forget_first(s)
