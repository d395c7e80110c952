# What our own taking does to the price: square-root law and propagator.
from libc.stdint cimport int64_t

cdef enum ImpactKind:
    SQUARE_ROOT = 1
    PROPAGATOR = 2

cdef struct Taken:               # one of our earlier takings
    int64_t ts
    double push                  # signed relative displacement at once

cdef class Impact:
    cdef readonly int kind
    cdef double scale                # y * sigma / sqrt(daily volume in lots)
    cdef double decay_ns, beta
    cdef Taken* taken                # ring
    cdef int64_t count
    cdef readonly int64_t paid       # sum over fills of (price - book's price) against us, ticks * lots
    cdef readonly int64_t takings
    cdef readonly double paid_inverse    # the same of lots / price: sum of lots * (1 / book's price - 1 / price)

    cdef double displaced(self, int64_t ts) noexcept nogil
    cdef double law(self, int64_t lots) noexcept nogil
    cdef int64_t extra(self, int64_t touch, int64_t there, int64_t done, int64_t lots, double walked) noexcept nogil
    cdef void pays(self, int side, int64_t tick, int64_t price, int64_t lots) noexcept nogil
    cdef void took(self, int64_t ts, int side, int64_t lots) noexcept nogil
