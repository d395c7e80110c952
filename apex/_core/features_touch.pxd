# Features of the touch: O(1) at every depth message, or at a step of a grid of time.
from libc.stdint cimport int64_t

from apex._core.feature cimport Feature, Market, Ranked, Sum, Window

cdef extern from "money.h" nogil:
    ctypedef long long int128 "apex_int128"

cdef class Quote(Feature):               # the touch itself, imbalance, weighted mid
    pass

cdef class OrderFlow(Feature):           # order-flow imbalance of the touch over a window
    cdef Window window                   # e_n, and bid + ask lots
    cdef int64_t bid, bid_lots, ask, ask_lots
    cdef bint has_touch
    cdef int64_t since                   # first time the window covers, -1 = none
    cdef void _tell(self, int64_t now) noexcept nogil

cdef class DecayedFlow(Feature):         # order-flow imbalance, exponentially decayed
    cdef double tau_ns, total
    cdef int64_t bid, bid_lots, ask, ask_lots, ts, since
    cdef bint has_touch

cdef class Returns(Feature):             # realised measures of the mid on a grid
    cdef int64_t step_ns
    cdef int steps
    cdef double* ring                    # log returns, [steps]
    cdef int64_t count
    cdef Sum squares, products, up, down
    cdef int64_t step_next               # next grid point, -1 = none
    cdef int64_t step_mid2               # bid + ask at the last grid point
    cdef void _push(self, double change) noexcept nogil
    cdef void _tell(self) noexcept nogil

cdef class TouchSamples(Feature):        # mean, deviation and quantile of the spread or the touch's size on a grid
    cdef int64_t step_ns
    cdef int steps
    cdef bint of_size
    cdef double q
    cdef int64_t* ring                   # [steps]
    cdef Ranked* ranked
    cdef int64_t count, step_next, total
    cdef int128 squares
    cdef void _push(self, int64_t x) noexcept nogil

cdef class MicroPrice(Feature):          # fitted adjustment of the mid by imbalance and spread
    cdef double* shifts                  # [spreads * buckets], ticks
    cdef int buckets, spreads
