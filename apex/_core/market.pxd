# The seeded market generator: order flow on books, packed rows out. Integers only; no libm.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from apex._core.events cimport Batch, Event, Level

cdef enum:
    WINDOW = 4096            # ticks that one side's ring can hold; a power of two
    REACH = 1020             # ticks; orders are placed at most so far behind the touch, farther levels are withdrawn
    SPREAD_MAX = 128         # ticks; the widest spread without rules
    LEVELS_MIN = 64          # a side is not thinned below this
    SNAPSHOT_LEVELS = 1000   # levels of a side that a snapshot holds; there are no others then
    SWEEP_MAX = 24           # levels one market order takes
    BURST_MAX = 64           # actions of one depth message
    WITHDRAW_MAX = 16        # far levels one message withdraws on each side
    STEP_ROWS_MAX = 96       # rows one step emits: BURST_MAX + 2 * WITHDRAW_MAX, or 2 * SWEEP_MAX with the trades
    CELLS = 1024             # cells of a table of quantiles

    # With rules, a book of single orders:
    ORDERS_MAX = 32_768      # orders of one instrument; there is no room for more
    SNAPSHOT_ORDERS = 4_000  # orders of a side that a snapshot holds at most
    PULL_MAX = 128           # stale orders one message pulls
    ACTIONS_MAX = 256        # actions of one depth message
    FAR_MAX = 64             # far orders one message withdraws on each side
    PRINTS_MAX = 128         # orders one market order takes
    RULE_ROWS_MAX = 552      # rows one step emits: PULL_MAX + ACTIONS_MAX + 2 * FAR_MAX + 2 * TOUCH_MAX, or PRINTS_MAX + SWEEP_MAX
    TOUCH_MAX = 16           # orders that make a new touch
    CHANGES_MAX = 552        # prices one message changes
    KERNELS = 3              # time scales of excitation
    NEWS_MAX = 1024          # common news that not every instrument has heard; a power of two
    TABLES = 6               # tables of quantiles of a set of rules

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

# How one instrument behaves, in the order of RULES, which has the ranges. Rates are in 2^-48 per ns, shares in 1/256; [3] is
# for calm, busy and stormy times.
cdef struct Rule:
    int64_t depth_rate[3]    # depth messages
    int64_t market_rate[3]   # market orders of a side that no other called for
    int64_t news_rate[3]     # jumps of the fair price that no other called for
    int64_t leave_rate[3]    # ends of such times
    int64_t parent_rate[3]   # ends of a lean of the flow, by patience
    int64_t jump_scale[3]    # 1/16, times the size of a jump
    int64_t heat_ns[KERNELS]     # how long a market order calls for others
    int64_t self_gain[KERNELS]   # what it adds to the rate of its own side
    int64_t cross_gain[KERNELS]  # and of the other side
    int64_t news_ns          # how long news calls for news
    int64_t news_gain        # what it adds to the rate of news
    int64_t alarm_gain       # what a move of the fair price adds to the rate of market orders of its direction, heat 0
    int64_t echo             # share of the called-for market orders that the rate of depth messages gains
    int64_t parent_lean      # largest lean of the flow
    int64_t informed_rate    # market orders on a stale touch
    int64_t informed_lots    # times the usual size
    int64_t hurry            # messages of makers alone while the spread is wider than a tick
    int64_t notice           # share of messages in which makers pull stale quotes
    int64_t tighten          # and close a wide spread
    int64_t touch_orders     # orders that make a new touch
    int64_t follow           # share of actions that leave a touch that the price has left
    int64_t placing          # share of the other actions that place an order
    int64_t crowd            # orders; a level of n is cancelled from with odds of n / (n + crowd)
    int64_t burst_mean       # actions of a depth message
    int64_t jump_q8          # 1/256 tick, what a jump of size 1 moves
    int64_t giveback         # share of past moves that a jump takes back
    int64_t impact           # share of the way swept by a market order that the fair price moves
    int64_t lean_flow        # of 2^15, how much jumps go with the flow
    int64_t lean_book        # of 2^15, how much they go away from the thicker touch
    int64_t reach            # ticks behind the touch; orders beyond are withdrawn
    int64_t spread_max       # ticks; the last level inside this spread is never taken or cancelled
    int64_t beta             # 1/256, times common news
    int64_t lag_ns           # how much later it is heard
    int64_t partner          # instrument whose price is watched, from 1; 0 = none
    int64_t watch            # share of messages in which makers look at it
    int64_t band_q8          # 1/256 tick; a fair price farther from it is given up
    int64_t crash_ns         # from the beginning; 0 = there is none
    int64_t crash_fall_ns    # how long its parts last
    int64_t crash_rest_ns
    int64_t crash_recover_ns
    int64_t crash_depth      # of 2^16 of the price
    int64_t crash_back       # share of it that is won back
    int64_t crash_rate       # sells more while it falls
    int64_t crash_placing    # instead of placing, while it falls and rests
    int64_t crash_tighten    # instead of tighten

cdef struct Order:
    int64_t lots
    uint64_t id
    int32_t next             # behind it in its queue, or in the list of free places; -1 = none
    int32_t previous

cdef struct Queue:           # the orders of one price of one side, the first came first
    int32_t first, last      # -1 = none
    int32_t count

cdef struct News:            # what moves the price of every instrument
    int64_t ts
    int64_t size_q20         # in mean jumps

cdef struct World:           # where common news comes from
    News ring[NEWS_MAX]
    Random random
    uint64_t count           # news told
    int64_t now_ns
    int64_t rate             # 2^-48 per ns; this and the next two in the order of NEWS_RULES
    int64_t gain             # what a piece of news adds to the rate
    int64_t gain_ns          # how long it lasts
    int64_t heat             # what past news adds to the rate
    int64_t* sizes           # table of quantiles, mean 2^20

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
    int64_t spread_max       # ticks; the last level inside this spread is never taken or cancelled
    uint32_t index
    int regime

    # With rules:
    Rule* rule               # NULL: none
    int64_t* tables[TABLES]
    Queue* queues            # by side, then by tick modulo WINDOW
    Order* orders
    int32_t free             # first free order
    int64_t resting[2]       # orders of a side
    uint64_t order_id        # last order's
    int64_t left[2]          # tick of the touch that prices went away from; 0 = none
    int64_t heat[2][KERNELS]  # what past market orders add to the rates of buys and sells
    int64_t news_heat
    int64_t heat_ns          # when these were true
    int64_t bound            # at least the sum of all rates until next_ns; 0: nothing happens then
    uint64_t heard           # common news heard
    World* world
    Pit* partner             # whose price makers here watch; NULL: nobody's
    int64_t crash_q8         # how deep the crash goes; 0 before it
    int64_t fallen_q8        # how much of it the fair price has fallen
    int patience             # of the parent orders that lean the flow: 0 to 2
    int phase                # of the crash: 0 before, 1 fall, 2 rest, 3 recovery, 4 after
    Sink* sink
    bint by_order            # rows are orders, not levels

cdef struct Sink:            # where rows go
    Batch* batches
    Level* levels
    Event* rows
    Py_ssize_t batch_count
    Py_ssize_t level_count
    Py_ssize_t row_count
    Py_ssize_t row_closed    # rows that have their batch
    Random random            # of the feed's delays
    int64_t last_local_ns

cdef class Market:
    cdef Pit* pits
    cdef Sink sink
    cdef int count
    cdef int opened                  # pits whose snapshot is out
    cdef int64_t depth               # levels of a side in a snapshot, at most; orders with rules
    cdef int64_t step_rows           # rows one step emits at most
    cdef World world
    cdef Rule* rules                 # one for each pit; NULL: none
    cdef int64_t* tables             # theirs, and the common news'
    cdef readonly int64_t rows_left

    cdef int _rule(self, rules, price_ticks, news, by_order) except -1
    cdef void _step(self) noexcept nogil
    cdef bint _fill(self, Py_ssize_t capacity) noexcept nogil
