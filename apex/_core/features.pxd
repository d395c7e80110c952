# The features of one instrument that somebody asked for, fed by the engine after whole messages.
#
# Each asked value has a slot in `values`; it is NaN until it is warm. Nothing that was not asked for is computed.
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from apex._core.book cimport BookData
from apex._core.feature cimport Market

cdef enum FeatureId:         # slots that every Features has
    IMBALANCE = 0            # bid lots / (bid lots + ask lots) at the touch, 0..1
    WEIGHTED_MID = 1         # ticks: imbalance * ask + (1 - imbalance) * bid
    OFI = 2                  # lots: order-flow imbalance over the window
    VOLATILITY = 3           # square root of the sum of squared log returns of the mid, over the steps kept
    TRADE_SIGN = 4           # +1 the last trade bought, -1 it sold
    FEATURE_COUNT = 5

cdef enum:
    SLOTS_MAX = 256          # values asked for
    NODES_MAX = 128          # features behind them

cdef class Features:
    cdef double[257] values              # [SLOTS_MAX + 1], the last for parts that nobody asked for
    cdef uint32_t[256] dirty             # [SLOTS_MAX], updates that can change a value: DIRTY_BOOK, DIRTY_TRADE
    cdef readonly int slot_count
    cdef Market market
    cdef int depth                       # levels copied of each side
    cdef int64_t due                     # the time after which `on_time` is to be called
    cdef list nodes                      # keeps the features alive
    cdef PyObject* on_books[128]         # [NODES_MAX], borrowed from `nodes`
    cdef PyObject* on_trades[128]
    cdef PyObject* on_times[128]
    cdef PyObject* on_reads[128]
    cdef PyObject* on_grids[128]
    cdef int book_count, trade_count, time_count, read_count, grid_count
    cdef int64_t trade_ticks             # last trade's price, 0 = none
    cdef int trade_tick_sign             # sign of the last change of trade price
    cdef dict slots                      # (node, part) -> slot
    cdef dict keys                       # (class, arguments) -> node
    cdef dict known                      # text or (text, parameters) -> slot
    cdef dict defaults                   # (family, parameter) -> value, before those of the table

    cdef void on_book(self, const BookData* book, bint valid, int64_t now) noexcept nogil
    cdef void on_touch(self, int64_t bid, int64_t bid_lots, int64_t ask, int64_t ask_lots, bint valid, int64_t now,
                       const BookData* book) noexcept nogil
    cdef void on_trade(self, int side, int64_t ticks, int64_t lots, int64_t now, int64_t ts_exchange) noexcept nogil
    cdef void on_gap(self) noexcept nogil
    cdef void on_read(self, int64_t now) noexcept nogil
    cdef void _pass_time(self, int64_t now) noexcept nogil
    cdef void _levels(self, const BookData* book) noexcept nogil
    cdef int slot(self, text, dict parameters) except -1
