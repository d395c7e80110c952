# The margin account as the venue keeps it: positions at venue time, marks, and when it is too little.
from libc.stdint cimport int64_t

from apex._core.ledger cimport Ledger, Position, Terms

cdef struct Marked:
    int64_t ticks                # 0 = no mark price yet
    int64_t rest                 # 1e-8 of quote

cdef class MarginAccount:
    cdef Ledger rates                # whose terms say the fees in force
    cdef Terms* terms                # [count]
    cdef Position* positions         # [count]
    cdef Marked* marks               # [count]
    cdef readonly int count
    cdef readonly int64_t cash
    cdef readonly int64_t maintenance    # 1e-12 of the value at the mark price
    cdef readonly int64_t fee            # 1e-12 of a liquidation's value
    cdef readonly bint closed            # it has been liquidated
    cdef readonly bint failed            # a sum did not fit
    cdef bint struck                     # and the driver does not know yet

    cdef void fill(self, int instrument, int side, int64_t ticks, int64_t lots, bint maker) noexcept nogil
    cdef void charge(self, int instrument, int which, int64_t lots, int64_t ticks, int64_t rest, int64_t rate) noexcept nogil
    cdef void mark(self, int instrument, int64_t ticks, int64_t rest) noexcept nogil
    cdef bint under(self) noexcept nogil
