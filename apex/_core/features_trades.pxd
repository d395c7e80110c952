# Features of market trades: sign, flow, spreads paid, VPIN, Hawkes intensity.
from libc.stdint cimport int64_t

from apex._core.feature cimport Feature, Market, Print, Sum, Window

cdef extern from "money.h" nogil:
    ctypedef long long int128 "apex_int128"

cdef enum:
    TRADES_MAX = 65536       # trades or buckets kept by a count
    DAY_BINS = 1440          # bins of the horizon over which a bucket's volume is measured

cdef class TradeSign(Feature):
    pass

cdef class TradeFlow(Feature):           # lots bought less lots sold over a window
    cdef Window window                   # bought, sold
    cdef int64_t since
    cdef int64_t _tell(self, int64_t now) noexcept nogil

cdef class EffectiveSpread(Feature):     # 2 * sign * (price - mid) / mid of trades
    cdef int trades
    cdef double* ring
    cdef int64_t count
    cdef Sum total

cdef class Roll(Feature):                # spread implied by the covariance of price changes
    cdef int trades
    cdef int64_t* ring                   # changes, [trades + 1]
    cdef int64_t count, last
    cdef int64_t x, y                    # sums over the pairs
    cdef int128 xy
    cdef bint has_last

cdef struct Buckets:                     # equal volumes, filled one after the other
    double volume            # of a bucket, 0 = unknown
    double filled, bought
    double* imbalances       # ring: |bought - sold| of the last buckets
    double* volumes
    int64_t count
    int kept
    bint automatic           # volume from the trailing horizon
    int64_t bin_ns, bin, bin_first
    double[1441] bins        # [DAY_BINS + 1]

cdef class Vpin(Feature):
    cdef Buckets buckets

cdef class BulkVpin(Feature):            # VPIN with bulk volume classification
    cdef Buckets buckets
    cdef int64_t bar_ns, end, close, close_before
    cdef double volume
    cdef int64_t count, total            # changes of the bars' closes, and their sum
    cdef Sum squares
    cdef bint has_before
    cdef void _close(self) noexcept nogil

cdef class Hawkes(Feature):
    cdef double mu, alpha, beta, excited
    cdef int64_t ts                      # last event, -1 = none
    cdef void _tell(self, int64_t now) noexcept nogil

cdef class HawkesPair(Feature):          # buys and sells that excite themselves and each other
    cdef double[2] mu
    cdef double[4] alpha                 # buy by buy, buy by sell, sell by buy, sell by sell
    cdef double[2] excited
    cdef double beta, radius
    cdef int64_t ts
    cdef int64_t[2] last                 # last event of each side, -1 = none
    cdef void _tell(self, int64_t now) noexcept nogil
