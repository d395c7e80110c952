# The shape of the book: walls, clusters of resting size, and a score of spoofing. Looked at on a grid of time.
from libc.stdint cimport int64_t

from apex._core.feature cimport Feature, Market, Print, Ranked, Window

cdef enum:
    WALLS_MAX = 256          # walls of a side that are followed
    BINS_MAX = 1024          # of the density of clusters
    OPEN_MAX = 256           # large placements of a side that are followed
    HITS_MAX = 256           # recent trades of a side that a decrease may be due to

cdef struct Wall:
    int64_t ticks
    int64_t since            # first look at which it was one, without a break

cdef struct Placement:
    int64_t ticks, left, ts

cdef class Walls(Feature):
    cdef double band, k, value_min, share
    cdef int64_t persist_ns
    cdef int64_t* ticks                  # [WALK_MAX], levels of a side
    cdef int64_t* lots
    cdef double* logs                    # ln lots
    cdef double* ordered
    cdef Wall[2][256] walls              # [WALLS_MAX]
    cdef int[2] wall_count
    cdef double[25] hours                # traded value of the last 24 whole hours and of this one, by hour % 25
    cdef int64_t hour, hour_first        # of `hours`; -1 = no trade yet
    cdef void _roll(self, int64_t now) noexcept nogil
    cdef double _floor(self, int64_t now) noexcept nogil
    cdef void _side(self, const Market* m, int side, double floor) noexcept nogil
    cdef void _tell(self, const Market* m, int side, int best, double median, int count) noexcept nogil

cdef class Clusters(Feature):
    cdef int side
    cdef double band, bandwidth, age_ns
    cdef int64_t* ticks                  # [WALK_MAX], levels of the last look
    cdef int64_t* since                  # when they were first seen
    cdef int64_t* ticks_now
    cdef int64_t* since_now
    cdef int64_t* lots
    cdef int count
    cdef double[1026] density            # [BINS_MAX + 2], bins of 1 bp between two of nothing
    cdef double[1026] ordered
    cdef int _levels(self, const Market* m) noexcept nogil
    cdef void _peaks(self, const Market* m, int bins) noexcept nogil

cdef struct SpoofSide:
    Window placed            # lots
    Window traded            # lots
    Window cancelled         # lots, those of them after an opposite trade, lifetime in ns
    Ranked* lives            # the lifetimes of `cancelled`
    int64_t[32] ticks        # [DEPTH_MAX], the book before
    int64_t[32] sizes
    int count
    Placement[256] open      # [OPEN_MAX], oldest first
    int open_count
    Placement[256] hits      # [HITS_MAX], trades at this side's prices, oldest first
    int hit_count
    int64_t trade_ts         # last trade at this side's prices, -1 = none
    double typical           # median lots of a level, 0 = unknown

cdef class Spoofing(Feature):
    cdef int levels
    cdef double band
    cdef int64_t step_ns, step_next
    cdef bint has_book
    cdef SpoofSide[2] sides
    cdef int64_t opposite_ns             # a cancellation within it after an opposite trade counts
    cdef void _compare(self, const Market* m, int side, const int64_t* ticks, const int64_t* sizes,
                       int count) noexcept nogil
    cdef void _grown(self, const Market* m, SpoofSide* s, int64_t ticks, int64_t lots) noexcept nogil
    cdef void _shrunk(self, const Market* m, int side, int64_t ticks, int64_t lots) noexcept nogil
    cdef double _score(self, const Market* m, SpoofSide* s, const int64_t* ticks, const int64_t* sizes,
                       int count) noexcept nogil
