# The engine: one order of work for replay, paper, live and simulation.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from apex._core.book cimport BookData
from apex._core.events cimport Batch, Event, Level, OrderCommand
from apex._core.fees cimport Fees
from apex._core.l3 cimport L3Data
from apex._core.ledger cimport Ledger, int128
from apex._core.risk cimport DenyReason, RiskFacts, RiskGate
from apex._core.signals cimport Signals

cdef enum OrderState:
    STATE_NONE = 0
    IN_FLIGHT = 1        # sent, no word yet
    WORKING = 2          # acknowledged, rests
    DONE_FILLED = 3
    DONE_CANCELED = 4
    DONE_EXPIRED = 5
    DONE_REJECTED = 6
    DONE_DENIED = 7      # never left the gate

cdef struct OrderRow:            # 136 bytes: one intent that became an order, or was denied
    int64_t ts_sent_ns           # local
    int64_t ts_ack_ns            # local, first reply; 0 = none
    int64_t ts_done_ns           # local, last change of the order
    int64_t ts_venue_ns          # venue, last change; 0 = none
    uint64_t id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t filled_lots
    int64_t last_lots            # last executed chunk
    int64_t last_ticks
    int64_t cost                 # sum of ticks * lots over the fills
    int64_t fee                  # cash units
    uint32_t instrument
    uint32_t fills
    uint8_t side
    uint8_t type
    uint8_t tif
    uint8_t state                # OrderState
    uint8_t pending              # CommandKind in flight, 0 = none
    uint8_t venue_reason
    uint16_t deny_reason         # ALLOWED = passed
    int64_t slot                 # place among its instrument's active orders, -1 = none
    int64_t pending_ticks        # price that an amendment in flight asks for, 0 = none
    int64_t pending_lots         # lots that it adds, counted as open until it is answered

cdef struct OrderMore:           # what only some orders have: one a row of orders once the first of them is sent
    int64_t extra                # see OrderType
    uint64_t parent              # order whose fill made this one, 0 = none
    uint64_t sibling             # the other leg of a pair of which one cancels the other, 0 = none
    uint32_t flags               # CommandFlag
    bint triggered               # a stop that has become an order of the market
    bint unwanted                # to be cancelled as soon as nothing of it is pending

cdef struct Attached:            # what each fill of an order sends
    uint64_t parent
    OrderCommand[2] legs         # quantity 0; of two, one cancels the other
    int count

cdef struct FillRow:             # 80 bytes
    int64_t ts_venue_ns
    int64_t ts_local_ns
    uint64_t id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t fee                  # cash units, > 0 paid
    int64_t mid2                 # local bid + ask in ticks at the receipt
    uint64_t trade_id
    uint32_t instrument
    uint8_t side
    uint8_t maker
    uint8_t optimistic
    uint8_t has_mid
    int64_t row                  # events applied before

cdef struct EquityRow:           # one a grid step; money in cash units
    int64_t ts_ns
    int64_t net
    int64_t gross
    int64_t fees
    int64_t spread
    int64_t exposure
    int64_t charges              # funding and liquidation fees, > 0 paid

cdef struct MarkRow:             # one a grid step and instrument
    int64_t lots
    int64_t mid2

cdef struct LocalSide:           # what we know of one instrument
    BookData* book
    L3Data* l3                   # the orders whose totals `book` is; NULL until the first ORDER_ row
    int64_t book_ts_ns           # last depth message
    int64_t mid2                 # last valid bid + ask
    int64_t open_buy_lots, open_sell_lots
    int32_t* active              # indices into orders
    int32_t active_count, active_capacity
    uint32_t dirty               # what the message that is not yet whole has changed: DIRTY_BOOK, DIRTY_TRADE
    bint synced
    bint has_mid
    int64_t liquidation          # the venue's order that closes our position: its place + 1, 0 = none

cdef struct Candle:              # prices in ticks, volumes in lots
    int64_t open, high, low, close
    int64_t volume, taker_buy, trades

cdef struct BarState:            # one bar that a strategy asked for
    int64_t interval_ns
    int64_t end_ns               # excluded
    Candle now
    Candle ahead                 # trades stamped `end_ns`, which come before the timer of that time
    int64_t close                # of the last bar with trades
    int32_t slot
    int32_t instrument
    bint known                   # `close` is a price

cdef class View
cdef class Strategy

cdef class Slot:                 # one strategy in the engine
    cdef Strategy strategy
    cdef View view
    cdef object on_timer, on_signal, on_book, on_fill, on_bar
    cdef int64_t move_ticks
    cdef int64_t[::1] move_base      # [instruments] mid2 where on_book was last told; NEVER = before the first mid
    cdef bint wants_rows
    cdef bint outlasts               # timers may be asked for after the last event
    cdef bint waits                  # timers and bars only once every instrument had a two-sided book
    cdef int index

cdef class Working:              # a working order as a strategy sees it: a copy
    cdef readonly uint64_t id
    cdef readonly object side        # "buy" or "sell"
    cdef readonly int64_t price_ticks
    cdef readonly int64_t quantity_lots
    cdef readonly int64_t filled_lots
    cdef readonly bint acknowledged
    cdef readonly bint pending

cdef struct Timer:
    int64_t interval_ns
    int64_t next_ns
    int32_t slot

cdef class Engine:
    cdef LocalSide* local
    cdef int count
    cdef int ready                   # instruments that have had a two-sided, synced book
    cdef readonly Ledger ledger
    cdef RiskGate gate
    cdef readonly Signals signals
    cdef list features
    cdef list slots
    cdef list rule_slot
    cdef OrderRow* orders
    cdef int64_t order_count, order_capacity
    cdef OrderMore* more             # NULL until the first order that needs it
    cdef int64_t more_capacity
    cdef Attached* attached
    cdef int64_t attached_count, attached_capacity
    cdef FillRow* fills
    cdef int64_t fill_count, fill_capacity
    cdef EquityRow* equity
    cdef MarkRow* marks
    cdef int64_t* quiet              # steps after each row of equity in which nothing changed
    cdef int64_t quiet_step_ns
    cdef int64_t equity_count, equity_capacity
    cdef Timer* timers
    cdef int timer_count
    cdef BarState* bars
    cdef int bar_count
    cdef readonly int64_t bar_next   # end of the next bar
    cdef int64_t equity_peak, equity_day_start, day
    cdef readonly int64_t now
    cdef readonly int64_t timer_next
    cdef readonly int64_t rows
    cdef int64_t at_once, at_once_ns     # timers asked for at this time, for this time or an earlier one
    cdef readonly int64_t signals_fired, signals_idle, intents, denied, calls
    cdef list fees                   # a Fees each instrument, or None
    cdef bint visible                # what our takers take is taken off the local book
    cdef int64_t liquidation_fee     # 1e-12
    cdef bint compat, uses_features, uses_moves, uses_rows
    cdef int64_t last_fill
    cdef int64_t timers_end          # periodic timers stop after it
    cdef readonly int64_t cash_start
    cdef int64_t sent                # commands handed to the gate
    cdef list grids

    cdef int on_batch(self, int instrument, const Batch* batch, const Level* levels, const Event* rows,
                      int64_t now) except -1
    cdef int on_reply(self, const Event* event) except -1
    cdef int on_timers(self, int64_t now) except -1
    cdef int on_grid(self, int64_t now) except -1
    cdef int on_quiet_grid(self, int64_t count, int64_t step_ns) except -1
    cdef int _grid_room(self) except -1
    cdef int _trades(self, int instrument, const Batch* batch, const Level* level, const Event* row) except -1
    cdef int _trade(self, int instrument, int side, int64_t ticks, int64_t lots, int64_t venue_ns) except -1
    cdef int _clear(self, LocalSide* side, const Batch* batch, const Level* level, const Event* row) except -1
    cdef int _orders(self, int instrument, const Batch* batch, const Event* row) except -1
    cdef int _message_end(self, int instrument) except -1
    cdef int _moves(self, int instrument, int64_t mid2) except -1
    cdef int _signals(self, int instrument, uint32_t dirty) except -1
    cdef int _filled(self, OrderRow* order, const Event* event) except -1
    cdef int _close(self, OrderRow* order) except -1
    cdef void _amended(self, OrderRow* order, int64_t price, int64_t lots) noexcept nogil
    cdef void _open(self, OrderRow* order, int64_t lots) noexcept nogil
    cdef int _activate(self, int64_t index) except -1
    cdef int64_t submit(self, Slot slot, OrderCommand* command) except -1
    cdef int64_t request(self, Slot slot, int64_t index, int kind, int64_t price, int64_t lots) except -1
    cdef int _facts(self, int instrument, RiskFacts* facts) except -1
    cdef OrderRow* _new_row(self) except NULL
    cdef int64_t _equity(self) noexcept nogil
    cdef int _roll(self, int64_t equity) noexcept nogil

cdef class View:
    cdef Engine engine
    cdef Slot slot
    cdef readonly int instrument
    cdef readonly int signal         # rule that fired
    cdef readonly int source         # instrument that caused the call
    cdef readonly object bar         # the bar that just ended
    cdef int _which(self, instrument) except -1
    cdef int _timer(self, int64_t interval, int64_t due) except -1
    cdef int _heard(self, int rule) except -1
    cdef object _price(self, ticks)
    cdef object _quantity(self, lots)
    cdef int64_t _index(self, uint64_t id) except -1
    cdef int64_t _send(self, OrderCommand* command, side, quantity_lots, tif, trigger, bint reduce_only,
                       instrument) except -1

cdef class Strategy:
    cdef readonly object params
    cdef int on_batch(self, View view, int instrument, const Batch* batch, const Level* levels,
                      const Event* rows) except -1
