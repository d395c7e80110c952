# Features of several levels: O(levels) at every depth message, or at a step of a grid of time.
from libc.stdint cimport int64_t

from apex._core.feature cimport Feature, Market, Window

cdef class LevelFlow(Feature):           # order-flow imbalance of each of the first levels
    cdef Window window                   # e_n of each level
    cdef int levels
    cdef double[32] weights              # [DEPTH_MAX]
    cdef int64_t[32] bid_ticks, bid_sizes, ask_ticks, ask_sizes
    cdef bint has_book
    cdef int64_t since                   # first time the window covers, -1 = none
    cdef void _tell(self, int64_t now) noexcept nogil

cdef class LevelImbalance(Feature):      # (bids - asks) / (bids + asks) over the first levels, weighted
    cdef int levels
    cdef double[32] weights

cdef class Depth(Feature):               # quote currency resting within so many bp of the mid
    cdef double band
    cdef int64_t* ticks                  # [WALK_MAX]
    cdef int64_t* lots

cdef class Slope(Feature):               # least-squares slope of cumulative lots over the distance in bp
    cdef double band
    cdef int64_t* ticks                  # [WALK_MAX]
    cdef int64_t* lots
    cdef double _side(self, const Market* m, int side) noexcept nogil

cdef class Elasticity(Feature):          # Naes and Skjeltorp's slope
    cdef int levels

cdef class DepthImpact(Feature):              # vwap of a fixed notional over mid, less 1
    cdef double notional
    cdef double _side(self, const Market* m, int side) noexcept nogil
