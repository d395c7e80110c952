"""Scanner of Binance market data: combined-stream frames and bare REST depth snapshots, from bytes to integers.

Every literal is compared and every number ends at its quote; the frame ends exactly after its closing braces. What has
any other form is answered with UNKNOWN_FORM and never guessed: the caller's checked slow path decides.

No byte past the frame is read. The last byte is `}` (checked first), which is no digit and no part of a literal before
the end, so loops and short-circuit compares stop on it; whatever reads several bytes at once checks the length left.
"""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcmp, memcpy

from apex._core.codecs.base cimport OFF_GRID, TOO_MANY_LEVELS, UNKNOWN_FORM, WIDE_PRICE
from apex._core.events cimport (
    AT_LOCAL, AT_VENUE, BOOK_LEVEL, BUY, LAST_IN_BATCH, MARK, NO_VENUE_TIME, NOT_MARKET, QUOTE, SELL, SNAPSHOT,
    SNAPSHOT_BEGIN, TRADE,
)

from apex._core.codecs.base import DECODE_ERRORS as _DECODE_ERRORS
from apex._core.events import EVENT_DTYPE

include "digits.pxi"

cdef enum:
    PLACES_MAX = 12           # decimal places of a tick or lot
    EXACT_PLACES = 8          # scale of mark prices and of TO_STEPS
    ROWS_PER_FRAME_MAX = 1 << 15

cdef Grid EXACT
EXACT.price_step = EXACT.lot_step = 1
EXACT.price_places = EXACT.lot_places = EXACT_PLACES
EXACT.price_wide = EXACT.lot_wide = True


cdef inline bint matches(const char* p, const char* end, const Text* text) noexcept nogil:
    return end - p >= text.size and memcmp(p, text.bytes, text.size) == 0


cdef inline bint ends(const char* p, const char* end, int braces) noexcept nogil:
    """Whether exactly `braces` closing braces are left (the last byte is known to be one)."""
    return end - p == braces and (braces == 1 or p[0] == b'}')


cdef inline int64_t common_step(int64_t step, int64_t value) noexcept nogil:
    """The gcd of both; a value already on the grid costs one division."""
    cdef int64_t rest
    if step != 0 and value % step == 0:
        return step
    while value != 0:
        rest = step % value
        step = value
        value = rest
    return step


cdef inline bint put(Sink* sink, int64_t price, int64_t quantity, uint8_t side, int mode) noexcept nogil:
    """Store one level; False and sink.error if it does not fit."""
    if mode == TO_STEPS:
        sink.price_step = common_step(sink.price_step, price)
        sink.lot_step = common_step(sink.lot_step, quantity)
        sink.count += 1
        return True
    if sink.count == sink.room:
        sink.error = TOO_MANY_LEVELS
        return False
    if mode == TO_LEVELS:
        if price > 2147483647:
            sink.error = WIDE_PRICE
            return False
        sink.levels[sink.count].quantity_lots = quantity
        sink.levels[sink.count].price_ticks = <int> price
        sink.levels[sink.count].side = side
        sink.levels[sink.count].pad0 = 0
        sink.levels[sink.count].pad1 = 0
    else:
        sink.rows[sink.count].price_ticks = price
        sink.rows[sink.count].quantity_lots = quantity
        sink.rows[sink.count].side = side
    sink.count += 1
    return True


cdef inline const char* pair(
    const char* p, const char* end, const Grid* grid, Sink* sink, uint8_t side, const char* between, int mode
) noexcept nogil:
    """Read price, the seven bytes `between`, quantity: up to the quantity's closing quote."""
    cdef int64_t price = 0, quantity = 0
    p = decimal(p, end, grid.price_places, grid.price_step, grid.price_wide, &price, &sink.error)
    if p == NULL:
        return NULL
    if not literal(p, end, between, 7):
        sink.error = UNKNOWN_FORM
        return NULL
    p = decimal(p + 7, end, grid.lot_places, grid.lot_step, grid.lot_wide, &quantity, &sink.error)
    if p == NULL or not put(sink, price, quantity, side, mode):
        return NULL
    return p


cdef inline const char* ladder(
    const char* p, const char* end, const Grid* grid, Sink* sink, uint8_t side, int mode
) noexcept nogil:
    """Read `["price","quantity"],...]`: from after the opening bracket to after the closing one."""
    cdef int64_t price = 0, quantity = 0
    if p[0] == b']':
        return p + 1
    while True:
        sink.error = UNKNOWN_FORM
        if p[0] != b'[' or p[1] != b'"':
            return NULL
        p = decimal(p + 2, end, grid.price_places, grid.price_step, grid.price_wide, &price, &sink.error)
        if p == NULL or p[1] != b',' or p[2] != b'"':
            return NULL
        p = decimal(p + 3, end, grid.lot_places, grid.lot_step, grid.lot_wide, &quantity, &sink.error)
        if p == NULL or p[1] != b']':
            return NULL
        if not put(sink, price, quantity, side, mode):
            return NULL
        if p[2] == b',':
            p += 3
        elif p[2] == b']':
            return p + 3
        else:
            sink.error = UNKNOWN_FORM
            return NULL


cdef inline int scan_depth(
    const Forms* forms, const Grid* grid, const char* p, const char* end, Message* m, Sink* sink, int mode
) noexcept nogil:
    if not matches(p, end, &forms.depth):
        return UNKNOWN_FORM
    p += forms.depth.size
    if p[0] == b'@':                                     # the update speed, e.g. @100ms
        p += 1
        while <unsigned int> p[0] - 48u <= 9:
            p += 1
        if p[0] != b'm' or p[1] != b's':
            return UNKNOWN_FORM
        p += 2
    if not literal(p, end, b'","data":{"e":"depthUpdate","E":', 32):
        return UNKNOWN_FORM
    p = moment(p + 32, end, &m.ts_exchange_ns)
    if p == NULL:
        return UNKNOWN_FORM
    if forms.market != SPOT:
        if not literal(p, end, b',"T":', 5):
            return UNKNOWN_FORM
        p = moment(p + 5, end, &m.ts_exchange_ns)
        if p == NULL:
            return UNKNOWN_FORM
    if not matches(p, end, &forms.depth_symbol):
        return UNKNOWN_FORM
    p = number(p + forms.depth_symbol.size, end, &m.first_id)
    if p == NULL or not literal(p, end, b',"u":', 5):
        return UNKNOWN_FORM
    p = number(p + 5, end, &m.last_id)
    if p == NULL:
        return UNKNOWN_FORM
    if forms.market != SPOT:
        if not literal(p, end, b',"pu":', 6):
            return UNKNOWN_FORM
        p = number(p + 6, end, &m.previous_id)
        if p == NULL:
            return UNKNOWN_FORM
    if not literal(p, end, b',"b":[', 6):
        return UNKNOWN_FORM
    p = ladder(p + 6, end, grid, sink, BUY, mode)
    if p == NULL:
        return sink.error
    if not literal(p, end, b',"a":[', 6):
        return UNKNOWN_FORM
    p = ladder(p + 6, end, grid, sink, SELL, mode)
    if p == NULL:
        return sink.error
    m.type = DEPTH
    return sink.count if ends(p, end, 2) else UNKNOWN_FORM


cdef inline int scan_ticker(
    const Forms* forms, const Grid* grid, const char* p, const char* end, Message* m, Sink* sink, int mode
) noexcept nogil:
    cdef int64_t sent = 0
    if not matches(p, end, &forms.ticker):
        return UNKNOWN_FORM
    p = number(p + forms.ticker.size, end, &m.last_id)
    if p == NULL or not matches(p, end, &forms.ticker_symbol):
        return UNKNOWN_FORM
    p = pair(p + forms.ticker_symbol.size, end, grid, sink, BUY, b'","B":"', mode)
    if p == NULL:
        return sink.error
    if not literal(p, end, b'","a":"', 7):
        return UNKNOWN_FORM
    p = pair(p + 7, end, grid, sink, SELL, b'","A":"', mode)
    if p == NULL:
        return sink.error
    p += 1
    if forms.market != SPOT:
        if not literal(p, end, b',"T":', 5):
            return UNKNOWN_FORM
        p = moment(p + 5, end, &m.ts_exchange_ns)
        if p == NULL or not literal(p, end, b',"E":', 5):
            return UNKNOWN_FORM
        p = moment(p + 5, end, &sent)
        if p == NULL:
            return UNKNOWN_FORM
    m.type = TICKER
    return sink.count if ends(p, end, 2) else UNKNOWN_FORM


cdef inline const char* trade_kind(const char* p, const char* end, bint* not_market) noexcept nogil:
    """Read `,"X":"NAME"` of a futures trade: anything but MARKET is not a market trade."""
    if not literal(p, end, b',"X":"', 6):
        return NULL
    p += 6
    if literal(p, end, b'MARKET"', 7):
        return p + 7
    not_market[0] = True
    while b'A' <= p[0] <= b'Z' or p[0] == b'_':
        p += 1
    return p + 1 if p[0] == b'"' else NULL


cdef inline const char* spot_trade_tail(const char* p, const char* end, int64_t* ns) noexcept nogil:
    """Read `,"b":1,"a":2` (older recordings) and `,"T":ms` of a spot trade."""
    cdef uint64_t order = 0
    if literal(p, end, b',"b":', 5):
        p = number(p + 5, end, &order)
        if p == NULL or not literal(p, end, b',"a":', 5):
            return NULL
        p = number(p + 5, end, &order)
        if p == NULL:
            return NULL
    if not literal(p, end, b',"T":', 5):
        return NULL
    return moment(p + 5, end, ns)


cdef inline int scan_trade(
    const Forms* forms, const Grid* grid, const char* p, const char* end, Message* m, Sink* sink, int mode
) noexcept nogil:
    cdef bint buyer_is_maker = False, ignored = False
    cdef int64_t price = 0, quantity = 0
    if not matches(p, end, &forms.trade):
        return UNKNOWN_FORM
    p = moment(p + forms.trade.size, end, &m.ts_exchange_ns)
    if p == NULL:
        return UNKNOWN_FORM
    if forms.market != SPOT:
        if not literal(p, end, b',"T":', 5):
            return UNKNOWN_FORM
        p = moment(p + 5, end, &m.ts_exchange_ns)
        if p == NULL:
            return UNKNOWN_FORM
    if not matches(p, end, &forms.trade_symbol):
        return UNKNOWN_FORM
    p = number(p + forms.trade_symbol.size, end, &m.last_id)
    if p == NULL or not literal(p, end, b',"p":"', 6):
        return UNKNOWN_FORM
    p = decimal(p + 6, end, grid.price_places, grid.price_step, grid.price_wide, &price, &sink.error)
    if p == NULL:
        return sink.error
    if not literal(p, end, b'","q":"', 7):
        return UNKNOWN_FORM
    p = decimal(p + 7, end, grid.lot_places, grid.lot_step, grid.lot_wide, &quantity, &sink.error)
    if p == NULL:
        return sink.error
    p += 1
    if forms.market != SPOT:
        p = trade_kind(p, end, &m.not_market)
    else:
        p = spot_trade_tail(p, end, &m.ts_exchange_ns)
    if p == NULL or not literal(p, end, b',"m":', 5):
        return UNKNOWN_FORM
    p = boolean(p + 5, end, &buyer_is_maker)
    if p == NULL:
        return UNKNOWN_FORM
    if forms.market == SPOT:
        if not literal(p, end, b',"M":', 5):
            return UNKNOWN_FORM
        p = boolean(p + 5, end, &ignored)
        if p == NULL:
            return UNKNOWN_FORM
    if not ends(p, end, 2):
        return UNKNOWN_FORM
    m.type = PRINT
    if not put(sink, price, quantity, SELL if buyer_is_maker else BUY, mode):
        return sink.error
    return sink.count


cdef int scan_mark(const Forms* forms, const char* p, const char* end, Message* m) noexcept nogil:
    """Mark price: p, i, r and the next funding time; the estimated settlement price P is read over."""
    cdef int64_t settle = 0, rate = 0
    cdef bint negative = False
    cdef int error = UNKNOWN_FORM
    if not matches(p, end, &forms.mark):
        return UNKNOWN_FORM
    p += forms.mark.size
    if literal(p, end, b'@1s', 3):
        p += 3
    if not literal(p, end, b'","data":{"e":"markPriceUpdate","E":', 36):
        return UNKNOWN_FORM
    p = moment(p + 36, end, &m.ts_exchange_ns)
    if p == NULL or not matches(p, end, &forms.mark_symbol):
        return UNKNOWN_FORM
    p = decimal(p + forms.mark_symbol.size, end, EXACT_PLACES, 1, False, &m.mark_1e8, &error)
    if p == NULL or not literal(p, end, b'","P":"', 7):
        return UNKNOWN_FORM
    p = decimal(p + 7, end, EXACT_PLACES, 1, False, &settle, &error)
    if p == NULL or not literal(p, end, b'","i":"', 7):
        return UNKNOWN_FORM
    p = decimal(p + 7, end, EXACT_PLACES, 1, False, &m.index_1e8, &error)
    if p == NULL or not literal(p, end, b'","r":"', 7):
        return UNKNOWN_FORM
    p += 7
    if p[0] == b'-':
        negative = True
        p += 1
    p = decimal(p, end, PLACES_MAX, 1, False, &rate, &error)
    if p == NULL or not literal(p, end, b'","T":', 6):
        return UNKNOWN_FORM
    m.funding_1e12 = -rate if negative else rate
    if literal(p + 6, end, b'0}', 2):                    # a dated contract has no funding
        m.next_funding_ns = 0
        p += 7
    else:
        p = moment(p + 6, end, &m.next_funding_ns)
    if p == NULL:
        return UNKNOWN_FORM
    m.type = MARK_PRICE
    return 0 if ends(p, end, 2) else UNKNOWN_FORM


cdef inline int scan_snapshot(
    const Forms* forms, const Grid* grid, const char* p, const char* end, Message* m, Sink* sink, int mode
) noexcept nogil:
    p = number(p + 16, end, &m.last_id)
    if p == NULL:
        return UNKNOWN_FORM
    if literal(p, end, b',"E":', 5):
        p = moment(p + 5, end, &m.ts_exchange_ns)
        if p == NULL or not literal(p, end, b',"T":', 5):
            return UNKNOWN_FORM
        p = moment(p + 5, end, &m.ts_exchange_ns)
        if p == NULL:
            return UNKNOWN_FORM
    if forms.market == COINM:
        if not matches(p, end, &forms.snapshot_symbol):
            return UNKNOWN_FORM
        p += forms.snapshot_symbol.size
    if not literal(p, end, b',"bids":[', 9):
        return UNKNOWN_FORM
    p = ladder(p + 9, end, grid, sink, BUY, mode)
    if p == NULL:
        return sink.error
    if not literal(p, end, b',"asks":[', 9):
        return UNKNOWN_FORM
    p = ladder(p + 9, end, grid, sink, SELL, mode)
    if p == NULL:
        return sink.error
    m.type = REST_SNAPSHOT
    return sink.count if ends(p, end, 1) else UNKNOWN_FORM


cdef inline int scan_as(
    const Forms* forms, const Grid* grid, const char* payload, Py_ssize_t size, Message* m, Sink* sink, int mode
) noexcept nogil:
    cdef const char* end = payload + size
    cdef char letter
    m.ts_exchange_ns = 0
    m.not_market = False
    sink.count = 0
    sink.error = UNKNOWN_FORM
    if size < forms.kind_at + 1 or (end - 1)[0] != b'}':
        return UNKNOWN_FORM
    letter = payload[forms.kind_at]
    # The whole prefix is compared by the branch taken; this letter only chooses it.
    if letter == b'b' and payload[2] == b's':
        return scan_ticker(forms, grid, payload, end, m, sink, mode)
    if letter == b't' and payload[2] == b's':
        return scan_trade(forms, grid, payload, end, m, sink, mode)
    if letter == b'd' and payload[2] == b's':
        return scan_depth(forms, grid, payload, end, m, sink, mode)
    if letter == b'm' and payload[2] == b's' and forms.market != SPOT:
        return scan_mark(forms, payload, end, m)
    if literal(payload, end, b'{"lastUpdateId":', 16):
        return scan_snapshot(forms, grid, payload, end, m, sink, mode)
    return UNKNOWN_FORM


cdef int scan(
    const Forms* forms, const Grid* grid, const char* payload, Py_ssize_t size, Message* message, Sink* sink, int mode
) noexcept nogil:
    """Read one frame: the count of levels put into `sink`, or a DecodeError. Undefined outputs on error."""
    if mode == TO_LEVELS:
        return scan_as(forms, grid, payload, size, message, sink, TO_LEVELS)
    if mode == TO_ROWS:
        return scan_as(forms, grid, payload, size, message, sink, TO_ROWS)
    return scan_as(forms, &EXACT, payload, size, message, sink, TO_STEPS)


cdef void mark_row(const Grid* grid, int64_t price_1e8, Event* row) noexcept nogil:
    """Nearest tick (halves up), and what is left of the price in quantity_lots, in 1e-8 of the quote."""
    cdef int64_t tick = grid.price_step * <int64_t> POWERS_OF_TEN[EXACT_PLACES - grid.price_places]
    row.price_ticks = (price_1e8 + tick // 2) // tick
    row.quantity_lots = price_1e8 - row.price_ticks * tick


cdef void mark_rows(const Grid* grid, const Message* message, Event* rows) noexcept nogil:
    """The two rows of a MARK message: price, quantity, aux and side; the caller fills what rows share."""
    mark_row(grid, message.mark_1e8, &rows[0])
    rows[0].aux = message.funding_1e12
    mark_row(grid, message.index_1e8, &rows[1])
    rows[1].aux = message.next_funding_ns
    rows[0].side = rows[1].side = 0


cdef int kind_of(int type) noexcept nogil:
    """EventKind of the rows of a message (of a snapshot: its levels)."""
    if type == TICKER:
        return QUOTE
    if type == PRINT:
        return TRADE
    return MARK if type == MARK_PRICE else BOOK_LEVEL


cdef int flags_of(const Message* m) noexcept nogil:
    """Flags that all rows of a message share."""
    cdef int flags = AT_LOCAL | (AT_VENUE if m.ts_exchange_ns else NO_VENUE_TIME)
    if m.type == REST_SNAPSHOT:
        flags |= SNAPSHOT
    if m.not_market:
        flags |= NOT_MARKET
    return flags


cdef inline void fill_row(const Message* m, int64_t local_ns, Event* row, bint last) noexcept nogil:
    """What the rows of one message share."""
    row.ts_exchange_ns = m.ts_exchange_ns
    row.ts_local_ns = local_ns
    row.sequence = m.last_id
    row.order_id = 0
    if m.type != MARK_PRICE:
        row.aux = 0
    row.instrument = 0
    row.kind = <uint8_t> kind_of(m.type)
    row.flags = <uint16_t> (flags_of(m) | (LAST_IN_BATCH if last else 0))


cdef int set_text(Text* text, str value) except -1:
    cdef bytes raw = value.encode("ascii")
    if len(raw) > <Py_ssize_t> sizeof(text.bytes):
        raise ValueError(f"symbol too long for {value[:40]!r}")
    memcpy(text.bytes, <const char*> raw, len(raw))
    text.size = <int> len(raw)
    return 0


MARKETS = {"spot": SPOT, "usdm": USDM, "cm": COINM}


cdef class BinanceCodec(Codec):
    """Decoder of one instrument's streams."""

    def __init__(
        self, str symbol not None, str market not None, str pair_symbol not None,
        tuple tick not None, tuple lot not None,
    ):
        self.symbol, self.market = symbol, market
        (price_step, price_places), (lot_step, lot_places) = tick, lot
        if not (0 <= price_places <= PLACES_MAX and 0 <= lot_places <= PLACES_MAX):
            raise ValueError(f"a tick or lot has more than {PLACES_MAX} decimal places")
        if not (0 < price_step < 2**40 and 0 < lot_step < 2**40):
            raise ValueError("a tick or lot is not within (0, 2**40) of its last place")
        if market != "spot" and (price_places > EXACT_PLACES or price_step * 10**(EXACT_PLACES - price_places) >= 2**62):
            raise ValueError(f"a tick of a futures market is not within 1e-{EXACT_PLACES} and 2**62 of that")
        self.grid.price_step, self.grid.price_places = price_step, price_places
        self.grid.lot_step, self.grid.lot_places = lot_step, lot_places
        self.grid.price_wide = market == "spot" and 1 <= price_places <= 8
        self.grid.lot_wide = market == "spot" and 1 <= lot_places <= 8
        self._forms(symbol, MARKETS[market], pair_symbol)

    cdef int _forms(self, str symbol, int market, str pair_symbol) except -1:
        cdef Forms* f = &self.forms
        head = '{"stream":"' + symbol.lower() + "@"
        named = f',"s":"{symbol}"'
        paired = named + (f',"ps":"{pair_symbol}"' if market == COINM else "")
        f.market = market
        f.kind_at = <int> len(head)
        start = {SPOT: '{"u":', USDM: '{"e":"bookTicker","u":', COINM: '{"u":'}[market]
        set_text(&f.ticker, head + 'bookTicker","data":' + start)
        set_text(&f.ticker_symbol, (',"e":"bookTicker"' if market == COINM else "") + paired + ',"b":"')
        set_text(&f.trade, head + 'trade","data":{"e":"trade","E":')
        set_text(&f.trade_symbol, named + ',"t":')
        set_text(&f.depth, head + "depth")
        set_text(&f.depth_symbol, paired + ',"U":')
        set_text(&f.mark, head + "markPrice")
        set_text(&f.mark_symbol, named + ',"p":"')
        set_text(&f.snapshot_symbol, f',"symbol":"{symbol}","pair":"{pair_symbol}"')
        return 0

    cdef int decode(
        self, const char* payload, Py_ssize_t size, int64_t local_ns, Event* rows, int rows_max
    ) noexcept nogil:
        """One frame to rows: BOOK_LEVEL, QUOTE, TRADE, MARK, or SNAPSHOT_BEGIN with its levels."""
        cdef Message m
        cdef Sink sink
        cdef int n, i, shift
        if rows_max < 3:
            return TOO_MANY_LEVELS
        sink.rows = rows + 1          # row 0 is kept for SNAPSHOT_BEGIN
        sink.room = rows_max - 1
        m.last_id = 0
        n = scan_as(&self.forms, &self.grid, payload, size, &m, &sink, TO_ROWS)
        if n < 0:
            return n
        if m.type == PRINT and rows[1].quantity_lots == 0:
            return 0                                     # futures send some for what is no trade (X is NA)
        if m.type == MARK_PRICE:
            mark_rows(&self.grid, &m, rows + 1)
            m.last_id = 0
            n = 2
        shift = 0 if m.type == REST_SNAPSHOT else 1
        if shift == 0:
            rows[0].price_ticks = rows[0].quantity_lots = rows[0].aux = rows[0].side = 0
            n += 1
        for i in range(n):
            if shift:
                rows[i] = rows[i + 1]
            fill_row(&m, local_ns, &rows[i], i == n - 1)
        if shift == 0:
            rows[0].kind = SNAPSHOT_BEGIN
            rows[0].flags &= <uint16_t> ~SNAPSHOT
        return n

    def decode_frame(self, bytes payload not None, long long local_ns):
        rows = np.zeros(ROWS_PER_FRAME_MAX, EVENT_DTYPE)
        cdef Event[::1] view = rows
        cdef int n = self.decode(<const char*> payload, len(payload), local_ns, &view[0], ROWS_PER_FRAME_MAX)
        if n < 0:
            raise ValueError(_DECODE_ERRORS[n])
        return rows[:n].copy()
