# The ledger: positions and cash in integers, by double entry.
from libc.stdint cimport int64_t, uint64_t

cdef extern from "money.h" nogil:
    # Cython takes it for a long long: never hand one to Python, and never narrow one without apex_fits or apex_saturate.
    ctypedef long long int128 "apex_int128"
    bint apex_add(int128 a, int128 b, int128* out) noexcept
    bint apex_sub(int128 a, int128 b, int128* out) noexcept
    bint apex_mul(int128 a, int64_t b, int128* out) noexcept
    int128 apex_mul2(int64_t a, int64_t b) noexcept
    bint apex_mul3(int64_t a, int64_t b, int64_t c, int128* out) noexcept
    bint apex_fits(int128 a) noexcept
    int128 apex_floor(int128 a, int128 b) noexcept
    int128 apex_ceil(int128 a, int128 b) noexcept
    int64_t apex_saturate(int128 a) noexcept
    int64_t apex_high(int128 a) noexcept
    uint64_t apex_low(int128 a) noexcept
    const int64_t FEE_SCALE "APEX_FEE_SCALE"    # fees are fractions in 1e-12

cdef enum PayKind:
    SPOT = 1             # a fill moves cash by its whole value
    LINEAR = 2           # a fill moves cash by realised P&L; the rest stands in the variation account
    INVERSE = 3          # the same in coin: lots are worth lots / price, so a buyer of them owes less as the price rises

cdef enum ChargeKind:
    FUNDING_CHARGE = 0
    LIQUIDATION_CHARGE = 1
    CHARGES = 2

cdef struct Terms:
    # One tick times one lot (inverse: one lot at one tick) is value_num / value_den cash units (1e-8), lowest terms.
    int64_t value_num    # > 0
    int64_t value_den
    int64_t maker_fee    # 1e-12 of the value, < 0 is a rebate
    int64_t taker_fee
    int64_t kind         # PayKind
    int64_t tick_1e8     # a tick in 1e-8 of quote, for prices between ticks; 0 = all prices are on the grid

cdef struct Position:            # money in cash units unless said otherwise
    int64_t lots                 # > 0 long
    int64_t cost                 # what the open lots cost (long) or brought (short), >= 0; average cost
    int64_t fees                 # > 0 paid
    int64_t[2] charges           # by ChargeKind, > 0 paid
    int64_t realised             # before fees
    int64_t flows                # sum of the fills' values as they were booked: sells - buys
    int64_t cash                 # what the fills moved in cash, fees included
    int64_t variation            # linear: flows not yet realised; spot: 0
    int64_t spread_captured      # sum of side * (mid - price) * lots, each fill rounded down
    int64_t bought_lots
    int64_t sold_lots
    int64_t fills
    int64_t maker_fills
    int128 turnover              # sum of |value|; wide, since a statistic must not stop a run
    int128 venue_quote           # the other side of every fill, exact, in 1 / (value_den * FEE_SCALE) cash units
    int128 venue_fees            # fees exactly as owed, same unit (inverse: 1 / FEE_SCALE, rounded up)
    int128 venue_charges         # charges in the same way
    int128 rounding              # what rounding took from us, >= 0, same unit
    int64_t venue_lots           # the other side's lots
    int64_t charged              # number of charges

cdef class Ledger:
    cdef Terms* terms            # [count]
    cdef Position* positions     # [count]
    cdef readonly int count
    cdef readonly int64_t cash_start
    cdef readonly int64_t cash_total     # change of cash since the start: balance = cash_start + cash_total

    cdef int64_t fill(self, int instrument, int side, int64_t ticks, int64_t lots, bint maker, int64_t mid2,
                      bint has_mid) except? -1
    cdef int64_t charge(self, int instrument, int which, int64_t lots, int64_t ticks, int64_t rest,
                        int64_t rate) except? -1
    cdef int64_t gross_pnl(self, int instrument, int64_t mid2) noexcept nogil      # saturates
    cdef int64_t net_pnl(self, int instrument, int64_t mid2) noexcept nogil        # gross - fees - charges
    cdef int64_t unrealised(self, int instrument, int64_t mid2) noexcept nogil     # gross - realised
    cdef int _index(self, int instrument) except -1
    cdef int64_t value(self, int instrument, int64_t mid2, int64_t lots) noexcept nogil    # of lots at mid2 / 2, saturates

cdef bint ledger_post(Position* p, const Terms* t, int side, int64_t ticks, int64_t lots, bint maker, int64_t mid2,
                      bint has_mid, int64_t* fee) noexcept nogil
cdef bint ledger_charge(Position* p, const Terms* t, int which, int64_t lots, int64_t ticks, int64_t rest, int64_t rate,
                        int64_t* paid) noexcept nogil
cdef bint ledger_value(const Terms* t, int64_t lots, int64_t ticks, int64_t rest, int64_t rate, bint up,
                       int128* out) noexcept nogil
cdef int128 ledger_unit(const Terms* t) noexcept nogil
cdef int read_terms(object given, Terms* out) except -1
