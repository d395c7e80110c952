# The seeded market generator: order flow on aggregate books, packed rows out. Integers only; no libm.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from apex._core.events cimport Batch, Level

cdef enum:
    WINDOW = 4096            # ticks that one side's ring can hold; a power of two
    REACH = 1020             # ticks; orders are placed at most so far behind the touch, farther levels are withdrawn
    SPREAD_MAX = 128         # ticks; the last level inside this spread is never taken or cancelled
    LEVELS_MIN = 64          # a side is not thinned below this
    SNAPSHOT_LEVELS = 1000   # levels of a side that a snapshot holds; there are no others then
    SWEEP_MAX = 24           # levels one market order takes
    BURST_MAX = 64           # actions of one depth message
    WITHDRAW_MAX = 16        # far levels one message withdraws on each side
    CHANGES_MAX = 96         # prices one message changes: BURST_MAX + 2 * WITHDRAW_MAX, and >= SWEEP_MAX
    STEP_ROWS_MAX = 96       # rows one step emits: those, or 2 * SWEEP_MAX with the trades
    CELLS = 1024             # cells of a table of quantiles

cdef struct Cell:            # one price of one side
    int64_t lots             # 0 = empty
    uint64_t message         # the last message that changed it

cdef struct Ladder:          # one side of a book
    Cell cells[WINDOW]       # by tick modulo WINDOW
    int64_t best             # ticks
    int64_t far              # ticks; no level lies beyond
    int64_t levels           # occupied prices

cdef struct Change:
    int64_t tick
    int64_t before           # lots before the message
    int which                # BID or ASK

cdef struct Random:
    uint64_t state[4]

cdef struct Regime:
    int64_t interval_ns      # mean time between steps
    uint32_t jump            # odds of a jump of the fair price in a step, of 2^16
    int64_t jump_scale       # mean size of a jump, in 1/16 of the instrument's own
    uint32_t market          # odds that a step is an uninformed market order, of 2^8
    uint32_t leave           # odds of a change of regime in a step, of 2^16

cdef struct Pit:             # where one instrument is traded
    Ladder ladders[2]        # bids, asks
    Random random
    Change changes[CHANGES_MAX]
    int change_count
    uint64_t message
    int64_t fair_q8          # what the price is pulled to, in 1/256 tick; bids above it and asks not above it are stale
    int64_t fair_low_q8, fair_high_q8
    int64_t excess_q8        # what the fair price still has to give back of its jumps
    int64_t jump_q8          # mean size of a jump, 1/256 tick
    int64_t flow             # lean of the order flow, of 2^15; > 0 buys
    int64_t next_ns          # venue time of the next step
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
    cdef int opened                  # pits whose snapshot is out
    cdef int64_t depth               # levels of a side in a snapshot, at most
    cdef readonly int64_t rows_left

    cdef void _step(self) noexcept nogil
    cdef void _fill(self, Py_ssize_t capacity) noexcept nogil
