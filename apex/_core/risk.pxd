# The risk gate: the only holder of the gateway, and the only way to it.
from libc.stdint cimport int64_t, uint8_t, uint64_t

from apex._core.events cimport OrderCommand
from apex._core.ledger cimport Terms, int128

cdef enum DenyReason:            # 0 is never an answer: a failing noexcept function returns 0
    ALLOWED = 1
    DENY_FACTS_UNKNOWN = 2       # a fact is missing or outside its range
    DENY_HALTED = 3
    DENY_REDUCING = 4            # trading state REDUCING and the order does not reduce
    DENY_MALFORMED = 5
    DENY_BOOK_UNSYNCED = 6
    DENY_BOOK_STALE = 7
    DENY_NO_MID = 8              # a side of the book is empty
    DENY_BOOK_CROSSED = 9
    DENY_PRICE_COLLAR = 10
    DENY_FAT_FINGER = 11
    DENY_ORDER_VALUE = 12
    DENY_ORDER_QUANTITY = 13
    DENY_POSITION = 14
    DENY_GROSS_NOTIONAL = 15
    DENY_OPEN_ORDERS = 16
    DENY_MESSAGE_RATE = 17
    DENY_DUPLICATE = 18
    DENY_SELF_TRADE = 19
    DENY_DAILY_LOSS = 20
    DENY_DRAWDOWN = 21
    DENY_OVERFLOW = 22           # a product of the checks does not fit: the answer is unknown
    DENY_GATEWAY = 23            # passed, but the gateway refused to send
    DENY_END = 24

cdef enum TradingState:
    ACTIVE = 1
    REDUCING = 2
    HALTED = 3

cdef struct RiskFacts:           # what the engine knows when an intent comes; all of it from events
    int64_t now_ns               # > 0
    int64_t bid_ticks            # NO_BID when there is none
    int64_t ask_ticks            # NO_ASK when there is none
    int64_t touch_bid_lots
    int64_t touch_ask_lots
    int64_t book_ts_ns           # last depth message, local time
    int64_t position_lots
    int64_t open_buy_lots        # unfilled, in flight included
    int64_t open_sell_lots
    int64_t open_orders          # of this instrument
    int64_t amended_lots         # AMEND: the quantity that the command's replaces; else 0
    int64_t own_best_bid_ticks   # own resting or in-flight limit orders; NO_BID when there is none
    int64_t own_best_ask_ticks
    int64_t gross_notional       # cash units, all instruments: |position| and open orders at mid
    int64_t equity_now           # net P&L, cash units
    int64_t equity_peak
    int64_t equity_day_start
    bint book_synced
    bint facts_known             # False: something above is not known

cdef struct RiskLimits:          # of one instrument, integers only
    int64_t price_collar         # |price - mid| <= price_collar * mid, 1e-12
    int64_t fat_finger_multiple  # lots <= fat_finger_multiple * the larger touch, 1e-6
    int64_t order_value_max      # cash units
    int64_t order_quantity_max   # lots
    int64_t position_max         # lots
    int64_t gross_notional_max   # cash units
    int64_t open_orders_max
    int64_t messages_per_second_max
    int64_t book_age_max_ns
    int64_t duplicate_window_ns
    int64_t daily_loss_max       # cash units
    int64_t drawdown_max         # cash units

cdef struct Sent:                # a remembered order of the duplicate check
    int64_t ts_ns
    int64_t price_ticks
    int64_t quantity_lots
    int64_t older                # number of the last one before it with the same hash, -1 = none
    uint64_t shape               # instrument, kind, side, type, tif

cdef struct Window:              # what the checks remember
    int64_t* times               # ring of send times
    int64_t times_size
    int64_t sent                 # messages ever sent
    Sent* recent                 # ring of orders
    int64_t recent_mask
    int64_t orders               # orders ever sent
    int64_t* heads               # hash -> number of the latest order with it, -1 = none

cdef struct Intent:              # one submission as the checks see it
    const OrderCommand* command
    const RiskFacts* facts
    const RiskLimits* limits
    const Terms* terms
    const Window* window
    int64_t price_ticks          # limit: its own; market: the touch that it takes
    int128 mid2                  # bid + ask, 0 when a side is empty; wide, since facts may be impossible
    int128 added_lots            # what the order adds to the open lots of its side
    TradingState state
    bint has_touch               # both sides have a best
    bint priced                  # price_ticks is known
    bint reduces                 # the position can only get smaller by it, own open orders counted

cdef class Gateway:
    # Carries commands away; only a RiskGate calls it. Returns 0 when sent; anything else is a refusal.
    cdef int send(self, const OrderCommand* command) noexcept nogil

cdef class CountingGateway(Gateway):
    cdef readonly int64_t count
    cdef public int answer
    cdef OrderCommand last
    cdef int send(self, const OrderCommand* command) noexcept nogil

cdef class RiskGate:
    cdef Gateway _gateway
    cdef RiskLimits* limits      # [count]
    cdef Terms* terms            # [count]
    cdef readonly int count
    cdef readonly bint scripted
    cdef TradingState state
    cdef Window window
    cdef int64_t[24] placed      # denials of new orders, by reason
    cdef int64_t[24] requested   # denials of amendments and cancellations, by reason
    cdef int64_t[4] transitions  # into each TradingState
    cdef readonly int64_t sent_orders
    cdef readonly int64_t sent_requests
    cdef DenyReason submit(self, const OrderCommand* command, const RiskFacts* facts) noexcept nogil
    cdef int _open_window(self, int64_t rate, int64_t seconds) except -1
    cdef void _remember(self, const OrderCommand* command, int64_t now) noexcept nogil
