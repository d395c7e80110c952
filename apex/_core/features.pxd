# Features of one instrument, updated by the engine after whole messages. A value is NaN until it is warm and while the
# book is empty, crossed or out of sync.
from libc.stdint cimport int64_t

cdef enum FeatureId:
    IMBALANCE = 0            # bid lots / (bid lots + ask lots) at the touch, 0..1
    WEIGHTED_MID = 1         # ticks: imbalance * ask + (1 - imbalance) * bid
    OFI = 2                  # lots: order-flow imbalance over the window
    VOLATILITY = 3           # square root of the sum of squared log returns of the mid, over the steps kept
    TRADE_SIGN = 4           # +1 the last trade bought, -1 it sold
    FEATURE_COUNT = 5

cdef enum:
    OFI_ROWS_MAX = 65536     # book updates within the window; beyond, the oldest are forgotten and counted
    STEPS_MAX = 4096         # returns kept

cdef class Features:
    cdef double[5] values                # [FEATURE_COUNT]
    cdef int64_t bid_ticks, bid_lots, ask_ticks, ask_lots    # the touch of the last valid update
    cdef bint has_touch
    cdef int64_t ofi_window_ns           # an update counts while now - its time < window
    cdef int64_t* ofi_times              # ring of OFI_ROWS_MAX
    cdef int64_t* ofi_lots
    cdef int64_t ofi_first, ofi_next     # places, taken modulo OFI_ROWS_MAX
    cdef int64_t ofi_sum
    cdef int64_t ofi_since               # first time the window covers, -1 = none
    cdef readonly int64_t ofi_forgotten
    cdef int64_t step_ns
    cdef int steps                       # returns that a volatility needs
    cdef double* squares                 # ring of STEPS_MAX
    cdef int64_t square_count
    cdef double square_sum, square_carry
    cdef int64_t step_next               # next grid point, -1 = none
    cdef int64_t step_mid2               # bid + ask at the last grid point, 0 = none
    cdef int64_t mid2, mid2_ts           # last valid bid + ask and its time
    cdef int64_t mid2_before             # the one before `mid2_ts`; 0 = none
    cdef int64_t trade_ticks             # last trade's price
    cdef int trade_tick_sign             # sign of the last change of trade price

    cdef void on_book(self, int64_t bid, int64_t bid_lots, int64_t ask, int64_t ask_lots, bint valid,
                      int64_t now) noexcept nogil
    cdef void on_trade(self, int side, int64_t ticks, int64_t lots, int64_t now) noexcept nogil
    cdef void on_gap(self) noexcept nogil
    cdef void _flow(self, int64_t bid, int64_t bid_lots, int64_t ask, int64_t ask_lots, int64_t now) noexcept nogil
    cdef void _steps(self, int64_t now) noexcept nogil
    cdef void _add(self, double x) noexcept nogil
