# Scanner of Binance market data: combined-stream frames and bare REST depth snapshots.
from libc.stdint cimport int64_t, uint8_t, uint64_t

from apex._core.codecs.base cimport Codec
from apex._core.events cimport Event, Level

cdef enum Market:
    SPOT = 1
    USDM = 2
    COINM = 3

cdef enum MessageType:
    DEPTH = 1            # bids, then asks
    TICKER = 2           # one bid, one ask
    PRINT = 3            # one trade, side is the aggressor's
    MARK_PRICE = 4       # no levels
    REST_SNAPSHOT = 5    # bids, then asks

cdef enum ScanMode:
    TO_LEVELS = 0        # Sink.levels
    TO_ROWS = 1          # Sink.rows: price, quantity and side only
    TO_STEPS = 2         # Sink.price_step, Sink.lot_step: the gcd of what was seen

cdef struct Text:        # a literal that depends on the instrument
    char bytes[160]
    int size

cdef struct Grid:        # a decimal is value * step / 10**places
    int64_t price_step
    int64_t lot_step
    int price_places     # 0..12
    int lot_places       # 0..12
    bint price_wide      # decimals are written with 8 digits, so read them at once
    bint lot_wide

cdef struct Forms:       # the literals of one instrument's streams, in the order they are met
    int market
    int kind_at          # offset of the letter that tells the stream
    Text ticker
    Text ticker_symbol
    Text trade
    Text trade_symbol
    Text depth
    Text depth_symbol
    Text mark
    Text mark_symbol
    Text snapshot_symbol

cdef struct Sink:        # where a scan puts what it reads
    Level* levels
    Event* rows
    int room             # of levels or rows
    int count
    int error            # DecodeError of the number that failed
    int64_t price_step   # TO_STEPS: gcd so far, in 1e-8; 0 = none seen
    int64_t lot_step

cdef struct Message:     # one message, its levels apart
    int64_t ts_exchange_ns    # T, else E, UTC ns; 0 = the message has none
    uint64_t first_id         # U (depth)
    uint64_t last_id          # u (depth, ticker), t (trade), lastUpdateId (snapshot)
    uint64_t previous_id      # pu (futures depth)
    int64_t mark_1e8          # mark and index price, 1e-8 of the quote
    int64_t index_1e8
    int64_t funding_1e12
    int64_t next_funding_ns
    uint8_t type              # MessageType
    bint not_market           # trade: liquidation, insurance fund and the like


cdef int scan(
    const Forms* forms, const Grid* grid, const char* payload, Py_ssize_t size, Message* message, Sink* sink, int mode
) noexcept nogil

cdef int kind_of(int type) noexcept nogil

cdef int flags_of(const Message* message) noexcept nogil

cdef void mark_rows(const Grid* grid, const Message* message, Event* rows) noexcept nogil


cdef class BinanceCodec(Codec):
    cdef Forms forms
    cdef Grid grid
    cdef readonly str symbol
    cdef readonly str market
    cdef int _forms(self, str symbol, int market, str pair_symbol) except -1
