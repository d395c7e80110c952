"""Features of several levels: multi-level order flow and imbalance, depth, slope, impact of fixed notionals."""

from libc.math cimport NAN, exp, log
from libc.stdint cimport INT64_MIN, int64_t
from libc.stdlib cimport calloc, free

from apex._core.book cimport NO_ASK, NO_BID, book_next, book_quantity
from apex._core.events cimport BUY, SELL
from apex._core.feature cimport (
    DEPTH_MAX, DIRTY_BOOK, HEARS_BOOK, HEARS_GRID, HEARS_READ, WALK_MAX, Feature, Market, band_end,
    levels_within, window_add, window_clear, window_expire,
    window_free, window_make,
)

cdef enum:
    TOLD = 10                # levels whose own order flow can be asked for


def _check_levels(int levels, double decay, int least=1):
    if not least <= levels <= DEPTH_MAX:
        raise ValueError(f"levels must be {least} to {DEPTH_MAX}, not {levels}")
    if not 0 <= decay < 100:
        raise ValueError(f"decay must be 0 or more, not {decay}")


cdef inline int64_t _flow(int64_t was, int64_t was_lots, int64_t now, int64_t now_lots) noexcept nogil:
    """A bid's part of e_n; of an ask it is the negative, with the negatives of its ticks."""
    cdef int64_t change = 0
    if now >= was:
        change += now_lots
    if now <= was:
        change -= was_lots
    return change


cdef class LevelFlow(Feature):
    """Order-flow imbalance of the m-th occupied level of both sides over a window, and its weighted sum.

    A missing level counts as one of no lots beyond all prices. Source: Xu, Gould and Howison 2018.
    """

    def __cinit__(self, int levels, int64_t window_ns, double decay):
        _check_levels(levels, decay)
        window_make(&self.window, window_ns, levels)

    def __dealloc__(self):
        window_free(&self.window)

    def __init__(self, int levels, int64_t window_ns, double decay):
        cdef int i
        self.hears, self.dirty, self.depth, self.levels = HEARS_BOOK | HEARS_READ, DIRTY_BOOK, levels, levels
        for i in range(levels):
            self.weights[i] = exp(-decay * i)
        self.since = -1

    cdef void on_gap(self) noexcept nogil:
        self.blank()
        window_clear(&self.window)
        self.has_book, self.since = False, -1

    cdef void on_book(self, const Market* m) noexcept nogil:
        cdef int64_t row[DEPTH_MAX]
        cdef int64_t ticks, lots
        cdef int i
        if not m.valid:
            self.blank()
            self.has_book = False
            return
        for i in range(self.levels):                         # <= DEPTH_MAX
            ticks = m.bid_ticks[i] if i < m.bid_count else NO_BID
            lots = m.bid_sizes[i] if i < m.bid_count else 0
            row[i] = _flow(self.bid_ticks[i], self.bid_sizes[i], ticks, lots)
            self.bid_ticks[i], self.bid_sizes[i] = ticks, lots
            ticks = m.ask_ticks[i] if i < m.ask_count else NO_ASK
            lots = m.ask_sizes[i] if i < m.ask_count else 0
            row[i] -= _flow(-self.ask_ticks[i], self.ask_sizes[i], -ticks, lots)
            self.ask_ticks[i], self.ask_sizes[i] = ticks, lots
        if self.has_book:
            self.forgotten = self.forgotten + window_add(&self.window, m.now, row)
        self.has_book = True
        if self.since < 0:
            self.since = m.now
        self._tell(m.now)

    cdef int64_t on_time(self, const Market* m, int64_t now) noexcept nogil:
        if m.valid:
            self._tell(now)
        return INT64_MIN

    cdef void _tell(self, int64_t now) noexcept nogil:
        cdef double total = 0.0
        cdef int i
        window_expire(&self.window, now)
        if self.since < 0 or now - self.since < self.window.span_ns:
            self.blank()
            return
        for i in range(self.levels):
            total += self.weights[i] * <double> self.window.sums[i]
        self.out[0][0] = total
        for i in range(min(self.levels, <int> TOLD)):
            self.out[i + 1][0] = <double> self.window.sums[i]


cdef class LevelImbalance(Feature):
    """rho_M of the first levels, -1 to 1, with weights exp(-decay * (m - 1)); a missing level has no lots."""

    def __init__(self, int levels, double decay):
        cdef int i
        _check_levels(levels, decay)
        self.hears, self.dirty, self.depth, self.levels = HEARS_BOOK, DIRTY_BOOK, levels, levels
        for i in range(levels):
            self.weights[i] = exp(-decay * i)

    cdef void on_gap(self) noexcept nogil:
        self.blank()

    cdef void on_book(self, const Market* m) noexcept nogil:
        cdef double bids = 0.0, asks = 0.0
        cdef int i
        if not m.valid:
            self.blank()
            return
        for i in range(min(m.bid_count, self.levels)):
            bids += self.weights[i] * <double> m.bid_sizes[i]
        for i in range(min(m.ask_count, self.levels)):
            asks += self.weights[i] * <double> m.ask_sizes[i]
        self.out[0][0] = (bids - asks) / (bids + asks)        # > 0: both sides have a level


# ---- on a grid -------------------------------------------------------------------------------------------------------

def _check_grid(int64_t every_ns, double least, name):
    if every_ns < 0:
        raise ValueError("every must be 0 ns or more")
    if not 0 < least < 1e18:
        raise ValueError(f"{name} must be > 0, not {least}")


cdef class Depth(Feature):
    """Quote currency of the levels within `band` bp of the mid: both sides, bids, asks; (bids - asks) / both."""

    def __cinit__(self, *args, **kwargs):
        self.ticks = <int64_t*> calloc(WALK_MAX, sizeof(int64_t))
        self.lots = <int64_t*> calloc(WALK_MAX, sizeof(int64_t))
        if self.ticks == NULL or self.lots == NULL:
            raise MemoryError("no memory for levels")

    def __dealloc__(self):
        free(self.ticks)
        free(self.lots)

    def __init__(self, double band, int64_t every_ns):
        _check_grid(every_ns, band, "band")
        self.hears, self.dirty, self.band, self.every_ns = HEARS_GRID, DIRTY_BOOK, band, every_ns

    cdef void on_book(self, const Market* m) noexcept nogil:
        cdef double found[2]
        cdef int side, i
        for side in range(2):
            found[side] = 0.0
            for i in range(levels_within(m.book, SELL if side else BUY, band_end(m, side, self.band), WALK_MAX,
                                         self.ticks, self.lots)):
                found[side] += <double> self.lots[i] * (<double> self.ticks[i] * m.value_scale + m.value_lot)
        self.out[0][0] = found[0] + found[1]
        self.out[1][0], self.out[2][0] = found[0], found[1]
        self.out[3][0] = (found[0] - found[1]) / (found[0] + found[1]) if found[0] + found[1] > 0 else NAN


cdef class Slope(Feature):
    """Slope of cumulative lots over distance from the mid in bp, by least squares: mean of both sides, bids, asks."""

    def __cinit__(self, *args, **kwargs):
        self.ticks = <int64_t*> calloc(WALK_MAX, sizeof(int64_t))
        self.lots = <int64_t*> calloc(WALK_MAX, sizeof(int64_t))
        if self.ticks == NULL or self.lots == NULL:
            raise MemoryError("no memory for levels")

    def __dealloc__(self):
        free(self.ticks)
        free(self.lots)

    def __init__(self, double band, int64_t every_ns):
        _check_grid(every_ns, band, "band")
        self.hears, self.dirty, self.band, self.every_ns = HEARS_GRID, DIRTY_BOOK, band, every_ns

    cdef void on_book(self, const Market* m) noexcept nogil:
        cdef double bids = self._side(m, BUY), asks = self._side(m, SELL)
        self.out[0][0] = 0.5 * (bids + asks)
        self.out[1][0], self.out[2][0] = bids, asks

    cdef double _side(self, const Market* m, int side) noexcept nogil:
        """NaN with less than two levels within the band; in ticks first, for their sums are exact."""
        cdef double total = 0.0, mean = 0.0, mean_size = 0.0, xx = 0.0, xy = 0.0
        cdef int n = levels_within(m.book, side, band_end(m, side == SELL, self.band), WALK_MAX, self.ticks, self.lots)
        cdef int i
        if n < 2:
            return NAN
        for i in range(n):
            total += <double> self.lots[i]
            mean += <double> (self.ticks[i] - self.ticks[0])
            mean_size += total
        mean, mean_size, total = mean / n, mean_size / n, 0.0
        for i in range(n):
            total += <double> self.lots[i]
            xx += (<double> (self.ticks[i] - self.ticks[0]) - mean) * (<double> (self.ticks[i] - self.ticks[0]) - mean)
            xy += (<double> (self.ticks[i] - self.ticks[0]) - mean) * (total - mean_size)
        # > 0: prices of two levels differ. Distances are 2e4 / mid2 times as many bp, downwards for bids.
        return (-xy if side == BUY else xy) / xx * <double> m.mid2 / 2e4


cdef class Elasticity(Feature):
    """Mean over both sides and their first levels of (v[m+1] / v[m] - 1) / |p[m+1] / p[m] - 1|, v = ln cumulative lots.

    Source: Naes and Skjeltorp 2006. NaN where the first level is a single lot (v = 0), or a side has one level.
    """

    def __init__(self, int levels, int64_t every_ns):
        _check_levels(levels, 0.0, 2)
        _check_grid(every_ns, 1.0, "")
        self.hears, self.dirty, self.every_ns = HEARS_GRID, DIRTY_BOOK, every_ns
        self.depth, self.levels = levels, levels

    cdef void on_book(self, const Market* m) noexcept nogil:
        cdef double bids = _naes(m.bid_ticks, m.bid_sizes, min(m.bid_count, self.levels))
        cdef double asks = _naes(m.ask_ticks, m.ask_sizes, min(m.ask_count, self.levels))
        self.out[0][0] = 0.5 * (bids + asks)
        self.out[1][0], self.out[2][0] = bids, asks


cdef double _naes(const int64_t* ticks, const int64_t* sizes, int count) noexcept nogil:
    cdef double total = 0.0, lots, before, after, price
    cdef int i
    if count < 2 or sizes[0] == 1:
        return NAN
    lots = <double> sizes[0]
    before = log(lots)
    for i in range(1, count):
        lots += <double> sizes[i]
        after = log(lots)
        price = <double> (ticks[i] - ticks[i - 1]) / <double> ticks[i - 1]
        total += (after / before - 1.0) / (price if price > 0 else -price)
        before = after
    return total / (count - 1)


cdef class DepthImpact(Feature):
    """vwap / mid - 1 of taking a fixed notional at once, buying and selling; NaN when the book does not hold it."""

    def __init__(self, double notional, int64_t every_ns):
        _check_grid(every_ns, notional, "notional")
        self.hears, self.dirty, self.notional, self.every_ns = HEARS_GRID, DIRTY_BOOK, notional, every_ns

    cdef void on_book(self, const Market* m) noexcept nogil:
        self.out[0][0], self.out[1][0] = self._side(m, SELL), self._side(m, BUY)

    cdef double _side(self, const Market* m, int side) noexcept nogil:
        cdef double left = self.notional, lots = 0.0, cost = 0.0, value, take
        cdef int64_t tick = m.bid if side == BUY else m.ask
        cdef int n = 0
        while left > 0.0:
            if tick == NO_BID or tick == NO_ASK or n == WALK_MAX:
                return NAN
            take = <double> book_quantity(m.book, side, tick)
            value = <double> tick * m.value_scale + m.value_lot
            if take * value > left:
                take = left / value
            left -= take * value
            lots += take
            cost += take * <double> tick
            n += 1
            tick = book_next(m.book, side, tick)
            if left < 1e-12 * self.notional:
                left = 0.0
        return cost / lots / (0.5 * <double> m.mid2) - 1.0
