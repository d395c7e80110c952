# Price impact, illiquidity and large trades.
from libc.stdint cimport int64_t

from apex._core.feature cimport Feature, Market, Print, Ranked, Sum

cdef class PriceImpact(Feature):         # slope of price changes on signed volume, exponentially weighted
    cdef int64_t step_ns
    cdef double tau_ns, decay, power
    cdef bint relative                   # Hasbrouck: log returns on signed roots of value
    cdef int64_t step_next, step_mid2
    cdef double flow                     # signed volume since the last grid point
    cdef double weight, mean_x, mean_y, xx, xy, yy
    cdef int64_t count, warm             # intervals seen, and needed
    cdef void _push(self, double x, double y) noexcept nogil
    cdef void _forget(self) noexcept nogil

cdef class BarMeasures(Feature):         # illiquidity (Amihud) and spread (Corwin and Schultz) from bars of trades
    cdef int64_t bar_ns, end
    cdef int bars
    cdef int64_t high, low, close, trades
    cdef double value
    cdef int64_t high_before, low_before, close_before, count
    cdef double* ratios                  # |return| / value, [bars]
    cdef double* spreads
    cdef void _close(self) noexcept nogil

cdef struct Kept:                        # values of parents within a time, in order of time and of size
    Ranked* ranked
    double* values           # ring of PARENTS_MAX
    int64_t* times
    int64_t first, next

cdef struct Flagged:
    int64_t ts
    double value             # > 0 bought

cdef class Whales(Feature):              # parents far larger than the usual
    cdef int parents
    cdef int64_t horizon_ns, rank_ns, window_ns, gap_ns
    cdef double limit, quantile, times
    cdef Kept logs, values
    cdef int sign                        # of the open parent
    cdef double value                    # of the open parent, 0 = none
    cdef int64_t ts, ts_exchange_ns      # its last trade
    cdef Flagged* flagged                # ring of FLAGS_MAX
    cdef int64_t flag_first, flag_next
    cdef Sum bought, sold
    cdef void _close(self, int64_t now) noexcept nogil
    cdef bint _judge(self, double y) noexcept nogil
    cdef void _expire(self, int64_t now) noexcept nogil
