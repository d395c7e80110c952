# Dated fee tables with tiers by 30-day volume.
from libc.stdint cimport int64_t

from apex._core.ledger cimport Terms

cdef struct FeeRow:
    int64_t since_ns             # venue time from which the row's table holds
    int64_t volume               # cash units of 30 days from which the row's tier holds
    int64_t maker                # 1e-12
    int64_t taker

cdef class Fees:
    cdef FeeRow* rows                # by since_ns, then volume
    cdef int count
    cdef int64_t[31] days            # volume of the last days, by day modulo 31
    cdef readonly int64_t day        # UTC day of the latest fill
    cdef readonly int64_t volume     # of the 30 days before it, cash units
    cdef int64_t row_day, row_of_day, row_next
    cdef int64_t history

    cdef void at(self, int64_t ts, Terms* terms) noexcept nogil
    cdef void traded(self, int64_t value) noexcept nogil
    cdef void _roll(self, int64_t day) noexcept nogil
