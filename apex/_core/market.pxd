# The seeded market generator: order flow on aggregate books, packed rows out. Integers only; no libm.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from apex._core.events cimport Batch, Level

cdef enum:
    WINDOW = 4096            # ticks that one side's ring can hold; a power of two
    REACH = 1024             # ticks from the touch within which orders are placed; farther levels are withdrawn
    SPREAD_MAX = 128         # ticks; the last level inside this spread is never taken or cancelled
    LEVELS_MIN = 64          # a side is not thinned below this
    SWEEP_MAX = 24           # levels one market order takes
    BURST_MAX = 16           # actions of one depth message
    WITHDRAW_MAX = 16        # far levels one message withdraws on each side
    CHANGES_MAX = 64         # >= BURST_MAX + 2 * WITHDRAW_MAX, and >= SWEEP_MAX
    ACTION_ROWS_MAX = 64     # rows one step of a pit can emit, trades included

cdef struct Odds:            # one cell of an alias table
    uint32_t limit           # keep the cell's own index below this, of 2^32
    uint32_t other

cdef struct Cell:            # one price of one side
    int64_t lots             # 0 = empty
    uint64_t message         # the last message that changed it

cdef struct Half:            # one side of a book
    Cell cells[WINDOW]       # by tick modulo WINDOW
    int64_t best             # ticks
    int64_t far              # ticks; no level lies beyond
    int64_t levels           # occupied prices

cdef struct Change:
    int64_t tick
    int64_t before           # lots before the message
    int half

cdef struct Random:
    uint64_t state[4]

cdef struct Regime:
    int64_t interval_ns      # mean time between actions
    uint32_t jump            # odds of a jump of the fair price in one action, of 2^16
    uint32_t market          # odds of a market order in one action, of 2^8
    uint32_t leave           # odds of a change of regime at a jump, of 2^16
    int64_t jump_scale       # size of a jump in 1/16 of the instrument's mean jump

cdef struct Pit:             # one instrument
    Half halves[2]           # bids, asks
    Random random
    Change changes[CHANGES_MAX]
    int change_count
    uint64_t message
    int64_t fair_q8          # what the price is pulled to, in 1/256 tick
    int64_t fair_low_q8, fair_high_q8
    int64_t jump_q8          # mean size of a jump, 1/256 tick
    int64_t flow             # order-flow imbalance, of 2^16; > 0 buys
    int64_t next_ns          # venue time of the next action
    uint64_t sequence        # last depth id
    uint64_t trade_id        # last trade id
    uint32_t index
    int regime

cdef struct Sink:            # where rows go
    Batch* batches
    Level* levels
    Py_ssize_t batch_count
    Py_ssize_t level_count
    Random random            # of the feed's delays
    int64_t last_local_ns

cdef class Market:
    cdef Pit* pits
    cdef Sink sink
    cdef int count
    cdef readonly int64_t rows_left
    cdef bint opened

    cdef void _step(self, Pit* pit) noexcept nogil
    cdef void _open(self, Pit* pit, int64_t levels_max) noexcept nogil
