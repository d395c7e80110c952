# The simulated venue of one instrument: its book, our resting orders, queue positions and both order legs.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from apex._core.book cimport BookData
from apex._core.account cimport MarginAccount
from apex._core.events cimport Batch, Event, Level, OrderCommand
from apex._core.impact cimport Impact
from apex._core.l3 cimport L3Data
from apex._core.risk cimport Gateway

cdef enum QueueKind:
    RISK_AVERSE = 0
    POWER_PROB = 1
    POWER_PROB2 = 2
    POWER_PROB3 = 3
    LOG_PROB = 4
    LOG_PROB2 = 5
    FIFO = 6                 # by the venue's own queues: order-by-order tapes only

cdef enum VenueReason:       # aux of REJECT, CANCELED and EXPIRED
    VENUE_OK = 0
    POST_ONLY_WOULD_CROSS = 1
    NO_LIQUIDITY = 2         # IOC, FOK or market order that found too little
    UNKNOWN_ORDER = 3        # cancel or amend of an order that is gone
    REJECTED_BEFORE_VENUE = 4
    VENUE_UNSYNCED = 5
    VENUE_FULL = 6
    CANCELED_BY_US = 7
    CLEARED = 8              # with its side of the venue's book
    STOP_REACHED = 9         # a stop at or behind the touch, which would trigger at once
    NOTHING_TO_REDUCE = 10   # reduce-only, and the position is closed or of the same side
    NOT_IN_COMPAT = 11       # an order type that hftbacktest does not have
    NO_MARK_PRICE = 12       # a stop by the mark price before the first
    VENUE_HALTED = 13
    LIQUIDATED = 14          # withdrawn by the venue, which closes the position

cdef struct VenueOrder:
    uint64_t id
    int64_t price_ticks
    int64_t lots             # ordered
    int64_t leaves_lots      # strict
    double leaves            # compat: raw quantity
    double front             # quantity ahead of us, raw
    double traded            # trades since the level's last change, raw
    double careful           # the risk-averse front, kept beside every model
    uint64_t entered         # fifo: orders of the venue's book with a higher number stand behind it
    uint8_t side
    uint8_t tif
    uint8_t done             # compat: filled exactly but kept, as upstream does; a stop: reached while out of sync
    uint8_t type             # OrderType
    uint8_t flags            # CommandFlag, and ACKNOWLEDGED
    int64_t extra            # of the command
    int64_t trigger          # stops: ticks
    int64_t shown            # lots of an iceberg's tip that are left

cdef struct Latency:
    int64_t place            # constants, ns
    int64_t cancel
    int64_t amend
    int64_t response
    int64_t rows             # > 0: interpolated from recorded rows
    int64_t* requested       # ns, strictly increasing
    int64_t* received
    int64_t* responded
    int64_t entry_cursor
    int64_t response_cursor

cdef struct Funding:             # one of a given list
    int64_t ts
    int64_t rate                 # 1e-12
    int64_t mark_ticks           # 0 = the tape's
    int64_t mark_rest

cdef struct Request:
    int64_t ts
    OrderCommand command

cdef struct Response:
    int64_t ts
    Event event

cdef class SimVenue:
    cdef BookData* book
    cdef L3Data* l3                  # the orders whose totals `book` is; NULL until the first ORDER_ row
    cdef Latency latency
    cdef VenueOrder* orders          # compat: time priority; strict: side, price, time
    cdef int32_t order_count
    cdef int64_t buy_low, buy_high, sell_low, sell_high   # range of our resting ticks
    cdef Request* requests
    cdef int64_t request_head, request_tail
    cdef Response* responses
    cdef int64_t response_head, response_tail, response_capacity
    cdef int64_t* used_tick          # levels that our takers have swept
    cdef int64_t* used_lots
    cdef uint8_t* used_side
    cdef int32_t used_count, used_capacity
    cdef double lot_num, lot_den, lot_size, power
    cdef int32_t queue
    cdef int32_t instrument
    cdef bint compat, partial, synced, failed
    cdef uint64_t trade_id
    cdef readonly uint64_t rejected_by_defect
    cdef SimVenue following          # the next instrument's, of the same gateway
    cdef int32_t stop_count
    cdef bint halted                 # nothing matches
    cdef int64_t timer_next          # venue time of the next thing that the venue does by itself; 0: the run is void
    cdef SimVenue head               # the first of them
    cdef Impact impact               # of our taking, None = none
    cdef MarginAccount account       # None = no liquidation
    cdef bint visible                # what we took stays away from a level through its updates
    cdef bint queues_orders          # what arrives in a halt waits for its end
    cdef readonly int64_t halts_seen
    cdef int64_t* halts              # given times: on, off, on, ...
    cdef int64_t halt_count, halt_next
    cdef OrderCommand* held          # what waits
    cdef int32_t held_count
    cdef VenueOrder* stops           # in the order of their arrival
    cdef int64_t position            # lots of all our fills here
    cdef int64_t mark_ticks, mark_rest    # the last mark price: ticks, 0 = none yet, and the rest in 1e-8 of quote
    cdef int64_t mark_new_ticks, mark_new_rest, rate_new      # of a MARK message that is not yet whole
    cdef bint mark_open
    cdef int64_t rate, funding_at    # of the next funding: 1e-12, venue time; NEVER = not known
    cdef bint funds                  # funding is paid
    cdef bint unmarked               # a funding time came, and no mark price was known: the run is void
    cdef Funding* fundings           # given ones; NULL = those of the tape
    cdef int64_t funding_count, funding_next
    cdef bint special                # an iceberg or a reduce-only order has rested here
    cdef bint tidies                 # a fill may have ended a reduce-only order, or an iceberg's tip

    cdef void on_batch(self, const Batch* batch, const Level* levels, const Event* rows) noexcept nogil
    cdef void on_requests(self, int64_t ts) noexcept nogil
    cdef int deliver(self, const OrderCommand* command) noexcept nogil
    cdef int enqueue(self, const OrderCommand* command) noexcept nogil
    cdef void _levels(self, int64_t ts, const Level* levels, uint64_t count, bint compat) noexcept nogil
    cdef void _level(self, int64_t ts, int side, int64_t ticks, int64_t lots) noexcept nogil
    cdef void _trade(self, int64_t ts, int side, int64_t ticks, int64_t lots) noexcept nogil
    cdef void _clear(self, int64_t ts, int side, int64_t ticks, bint to, bint ends) noexcept nogil
    cdef void _depth(self, int side, int64_t ticks, double before, double after) noexcept nogil
    cdef inline int64_t _reach(self, int side, int64_t best, int64_t ticks) noexcept nogil
    cdef void _crossed(self, int64_t ts, int side, int64_t before) noexcept nogil
    cdef int64_t _available(self, int side, int64_t ticks) noexcept nogil
    cdef void _use(self, int side, int64_t ticks, int64_t lots) noexcept nogil
    cdef bint _used_grow(self) noexcept nogil
    cdef void _forget(self, int side, int64_t ticks) noexcept nogil
    cdef void _close_out(self, int64_t ts) noexcept nogil
    cdef void _place(self, int64_t ts, const OrderCommand* command) noexcept nogil
    cdef void _place_order(self, int64_t ts, VenueOrder* order, int type) noexcept nogil
    cdef void _take_whole(self, int64_t ts, VenueOrder* order, int type) noexcept nogil
    cdef void _take_compat(self, int64_t ts, VenueOrder* order, int type) noexcept nogil
    cdef void _rest(self, int64_t ts, VenueOrder* order) noexcept nogil
    cdef void _cancel(self, int64_t ts, const OrderCommand* command) noexcept nogil
    cdef void _amend(self, int64_t ts, const OrderCommand* command) noexcept nogil
    cdef bint _fill(self, int64_t ts, VenueOrder* order, bint maker, int64_t ticks, double quantity,
                    bint optimistic) noexcept nogil
    cdef void _report(self, int64_t ts, VenueOrder* order, bint maker, int64_t ticks, int64_t lots, int64_t left,
                      bint optimistic) noexcept nogil
    cdef int64_t _pass(self, VenueOrder* order, double quantity, int64_t* sure) noexcept nogil
    cdef bint _at_price(self, int64_t ts, VenueOrder* order, double quantity) noexcept nogil
    cdef void _respond(self, int64_t ts, VenueOrder* order, int kind, int reason) noexcept nogil
    cdef void _push(self, int64_t ts, const Event* event) noexcept nogil
    cdef void _remove(self, int32_t index) noexcept nogil
    cdef void _range(self) noexcept nogil
    cdef int32_t _find(self, uint64_t id) noexcept nogil
    cdef double _raw(self, int64_t lots) noexcept nogil

cdef class SimGateway(Gateway):
    cdef SimVenue first
    cdef int send(self, const OrderCommand* command) noexcept nogil
