# The event, defined once. Every other form (numpy dtype, Arrow, Parquet) is derived from these structs.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum EventKind:
    BOOK_LEVEL = 1       # one level of a book: quantity_lots is the new total at price_ticks, 0 deletes
    BOOK_CLEAR = 2       # side BUY/SELL or 0 = both; with CLEAR_TO: from the best to price_ticks
    TRADE = 3            # side is the aggressor's
    QUOTE = 4            # best bid row and best ask row, side says which
    MARK = 5             # row 1: mark price ticks, aux = funding rate in 1e-12; row 2: index price ticks, aux = next funding ns
    BAR = 6
    ACK = 10
    REJECT = 11          # aux = reason
    CANCELED = 12
    EXPIRED = 13
    FILL = 14            # price, last quantity, aux = cumulative lots, sequence = trade id
    TRIGGERED = 15       # an own stop has become an order of the market; aux = the price that triggered it
    FUNDING = 16         # price_ticks and sequence: mark and its rest in 1e-8; signed position; aux = rate in 1e-12
    LIQUIDATION = 17     # the venue closes our position: side and lots of its order, whose fills have no order id
    LINK_UP = 20
    LINK_DOWN = 21
    LINK_GAP = 22        # the book is out of sync until SNAPSHOT_BEGIN
    SNAPSHOT_BEGIN = 23  # clears the book; its levels follow with flag SNAPSHOT
    HALT = 24            # aux = 1: the venue matches nothing until aux = 0
    FEE = 30
    ERROR = 31
    CLOCK = 32
    TIMER = 40
    COMMAND = 41
    SCORE = 50
    CONTROLS = 51
    # Market by order: `order_id` is the venue's, `side` and `price_ticks` are the order's, `instrument` has its own ids.
    ORDER_ADD = 60       # to the back of its level's queue; with SNAPSHOT it was there before it came into sight
    ORDER_MODIFY = 61    # its new price and quantity; its place is kept by no larger quantity at the same price
    ORDER_DELETE = 62    # quantity_lots of it are cancelled, 0 = all that is left
    ORDER_EXECUTE = 63   # quantity_lots of it traded at price_ticks: a trade whose aggressor is the other side

cdef enum EventFlag:
    LAST_IN_BATCH = 1 << 0
    SNAPSHOT = 1 << 1
    MAKER = 1 << 2
    AT_VENUE = 1 << 3        # seen by the venue side of a replay
    AT_LOCAL = 1 << 4        # seen by the local side of a replay
    CLEAR_TO = 1 << 5
    NO_VENUE_TIME = 1 << 6   # ts_exchange_ns is 0; local view only
    NOT_MARKET = 1 << 7      # liquidation, insurance fund and the like
    OPTIMISTIC = 1 << 8      # a simulated fill that the most careful queue model would not have given
    KEEPS_BOOK = 1 << 9      # an execution whose trade and change of the book are rows of their own

cdef enum Side:
    NO_SIDE = 0
    BUY = 1    # bid, or a buying aggressor
    SELL = 2   # ask, or a selling aggressor

cdef struct Event:           # 64 bytes, asserted at import
    int64_t ts_exchange_ns   # venue time, UTC ns; 0 with NO_VENUE_TIME
    int64_t ts_local_ns      # receipt, UTC ns, as recorded
    uint64_t sequence        # venue's own number; equal on all rows of one message
    uint64_t order_id        # strategy 10 | epoch 14 | counter 40 bits; 0 = none
    int64_t price_ticks
    int64_t quantity_lots
    int64_t aux
    uint32_t instrument      # index into the tape's or engine's instrument table
    uint16_t flags           # EventFlag
    uint8_t kind             # EventKind
    uint8_t side             # Side

# The packed encoding of a tape: one Batch per message, 16 bytes a level.
cdef enum BatchEncoding:
    LEVELS = 0               # rows are Level[first : first + count]
    ROWS = 1                 # rows are Event[first : first + count] (what a level cannot hold)

cdef struct Batch:           # 40 bytes
    int64_t ts_exchange_ns
    int64_t ts_local_ns
    uint64_t sequence
    uint32_t first
    uint32_t count           # > 0
    uint32_t instrument
    uint16_t flags           # common to all rows; LAST_IN_BATCH belongs to the last row only
    uint8_t kind
    uint8_t encoding         # BatchEncoding

cdef struct Level:           # 16 bytes
    int64_t quantity_lots
    int32_t price_ticks
    uint8_t side
    uint8_t pad0
    uint16_t pad1

cdef enum CommandKind:
    PLACE = 1
    CANCEL = 2
    AMEND = 3

cdef enum OrderType:
    LIMIT = 0            # extra = lots shown at a time, 0 = all
    MARKET = 1
    STOP = 2             # a market order once the price is at price_ticks or beyond
    STOP_LIMIT = 3       # a limit order at price_ticks once the price is at extra or beyond
    TRAILING = 4         # a stop `extra` ticks behind the best price since it came to the venue; price_ticks = about where
    LIQUIDATE = 5        # the venue's own, never a command

cdef enum CommandFlag:
    REDUCE_ONLY = 1 << 0     # may only make a position smaller
    BY_MARK = 1 << 1         # a stop that watches the mark price, not trades

cdef enum TimeInForce:
    GTC = 0
    GTX = 1    # post-only
    IOC = 2
    FOK = 3

cdef struct OrderCommand:    # 64 bytes; what leaves through the gate
    int64_t ts_local_ns
    uint64_t order_id
    int64_t price_ticks
    int64_t quantity_lots
    uint64_t row             # events applied by the engine before this command
    uint32_t strategy        # index of the strategy
    uint32_t flags           # CommandFlag
    uint32_t instrument
    uint8_t kind             # CommandKind
    uint8_t side
    uint8_t type             # OrderType
    uint8_t tif              # TimeInForce
    int64_t extra            # see OrderType; else 0
