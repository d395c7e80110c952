"""The risk gate: every command passes its checks, in the order of one table, or does not leave.

A check is a pure C function of one `Intent`; adding one takes a reason in risk.pxd, the function, and a row of the
table at the end of the checks. A fact that is missing, impossible or too large to compute with denies. All limits are
integers, so nothing here can be NaN. State and windows run on event time.

Which side is careful: a sell is valued at its price or the bid, whichever is higher; a market order at the touch that
it takes. An order that reduces a position, own open orders on its side counted, passes the checks on gross notional,
daily loss and drawdown: they must not lock a position in. A cancellation passes unless it is malformed.
"""
from libc.limits cimport LLONG_MAX
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import numpy as np

from apex._core.events cimport (
    AMEND, BUY, BY_MARK, CANCEL, FOK, MARKET, PLACE, REDUCE_ONLY, SELL, STOP, STOP_LIMIT, TRAILING, OrderCommand,
)
from apex._core.ledger cimport (
    FEE_SCALE, INVERSE, Terms, apex_add, apex_ceil, apex_mul, apex_mul2, int128, read_terms,
)

cdef extern from "bits.h" nogil:
    const int64_t NO_BID "APEX_NO_BID"
    const int64_t NO_ASK "APEX_NO_ASK"

cdef int64_t COLLAR_SCALE = 1000000000000
cdef int64_t MULTIPLE_SCALE = 1000000
cdef int64_t SECOND_NS = 1000000000
cdef int64_t SIZE_MAX = <int64_t> 1 << 60      # ticks and lots: sums of a few stay inside int64
cdef int64_t MONEY_MAX = <int64_t> 1 << 62
cdef int64_t RECENT_MAX = 1 << 22              # orders that the duplicate window may hold

LOTS_MAX = 1 << 60
"""The largest quantity limit: it says that only value limits bind."""


# ---- the checks -----------------------------------------------------------------------------------------------------

cdef DenyReason check_facts(const Intent* x) noexcept nogil:
    """Facts that are not known, or that cannot be."""
    cdef const RiskFacts* f = x.facts
    if not f.facts_known or f.now_ns <= 0 or f.position_lots > SIZE_MAX or f.position_lots < -SIZE_MAX:
        return DENY_FACTS_UNKNOWN
    if f.open_buy_lots < 0 or f.open_buy_lots > SIZE_MAX or f.open_sell_lots < 0 or f.open_sell_lots > SIZE_MAX:
        return DENY_FACTS_UNKNOWN
    if f.open_orders < 0 or f.amended_lots < 0 or f.gross_notional < 0 or f.gross_notional > MONEY_MAX:
        return DENY_FACTS_UNKNOWN
    if (f.equity_now > MONEY_MAX or f.equity_now < -MONEY_MAX or f.equity_peak > MONEY_MAX
            or f.equity_peak < -MONEY_MAX or f.equity_day_start > MONEY_MAX or f.equity_day_start < -MONEY_MAX):
        return DENY_FACTS_UNKNOWN
    return ALLOWED


cdef DenyReason check_halted(const Intent* x) noexcept nogil:
    return ALLOWED if x.state == ACTIVE or x.state == REDUCING else DENY_HALTED


cdef DenyReason check_reducing(const Intent* x) noexcept nogil:
    return ALLOWED if x.state == ACTIVE or x.reduces else DENY_REDUCING


cdef DenyReason check_malformed(const Intent* x) noexcept nogil:
    cdef const OrderCommand* c = x.command
    if c.kind == CANCEL:
        return ALLOWED if c.order_id != 0 else DENY_MALFORMED
    if (c.kind != PLACE and c.kind != AMEND) or (c.side != BUY and c.side != SELL) or c.order_id == 0:
        return DENY_MALFORMED
    if c.type > TRAILING or c.tif > FOK or c.flags & ~(REDUCE_ONLY | BY_MARK):
        return DENY_MALFORMED
    if c.extra < (1 if c.type == STOP_LIMIT or c.type == TRAILING else 0) or c.extra > SIZE_MAX:
        return DENY_MALFORMED
    if c.quantity_lots <= 0 or c.quantity_lots > SIZE_MAX:
        return DENY_MALFORMED
    if c.type != MARKET and (c.price_ticks <= 0 or c.price_ticks > SIZE_MAX):
        return DENY_MALFORMED
    return ALLOWED


cdef DenyReason check_unsynced(const Intent* x) noexcept nogil:
    return ALLOWED if x.facts.book_synced else DENY_BOOK_UNSYNCED


cdef DenyReason check_stale(const Intent* x) noexcept nogil:
    """The book's last message is too old, or from the future."""
    cdef int128 age = <int128> x.facts.now_ns - x.facts.book_ts_ns
    return ALLOWED if 0 <= age and age <= x.limits.book_age_max_ns else DENY_BOOK_STALE


cdef DenyReason check_mid(const Intent* x) noexcept nogil:
    return ALLOWED if x.has_touch and x.mid2 > 0 else DENY_NO_MID


cdef DenyReason check_crossed(const Intent* x) noexcept nogil:
    return ALLOWED if x.facts.bid_ticks <= x.facts.ask_ticks else DENY_BOOK_CROSSED


cdef DenyReason check_collar(const Intent* x) noexcept nogil:
    """|price - mid| <= collar * mid, doubled and scaled to integers."""
    cdef int128 distance, most
    if not x.priced or x.mid2 <= 0:
        return DENY_NO_MID
    distance = 2 * <int128> x.price_ticks - x.mid2
    if apex_mul(distance if distance >= 0 else -distance, COLLAR_SCALE, &distance):
        return DENY_OVERFLOW
    if apex_mul(x.mid2, x.limits.price_collar, &most):       # more than any distance that fits
        return ALLOWED
    return ALLOWED if distance <= most else DENY_PRICE_COLLAR


cdef DenyReason check_fat_finger(const Intent* x) noexcept nogil:
    """Lots against the larger quantity of the two touches."""
    cdef int64_t touch = x.facts.touch_bid_lots
    if x.facts.touch_ask_lots > touch:
        touch = x.facts.touch_ask_lots
    if apex_mul2(x.command.quantity_lots, MULTIPLE_SCALE) <= apex_mul2(x.limits.fat_finger_multiple, touch):
        return ALLOWED
    return DENY_FAT_FINGER


cdef inline bint worth(const Intent* x, int128 lots, int128* quanta) noexcept nogil:
    """Value of lots at the careful price, in 1 / value_den cash units; True on overflow."""
    cdef int64_t price = x.price_ticks
    cdef int128 top
    if x.terms.kind == INVERSE:                              # the lower price is the careful one
        if x.has_touch and x.facts.bid_ticks < price:
            price = x.facts.bid_ticks
        if price <= 0 or apex_mul(lots, x.terms.value_num, &top):
            return True
        quanta[0] = apex_ceil(top, price)
        return False
    if x.command.side == SELL and x.has_touch and x.facts.bid_ticks > price:
        price = x.facts.bid_ticks
    return apex_mul(lots, price, quanta) or apex_mul(quanta[0], x.terms.value_num, quanta)


cdef DenyReason check_value(const Intent* x) noexcept nogil:
    cdef int128 quanta
    if not x.priced:
        return DENY_NO_MID
    if worth(x, x.command.quantity_lots, &quanta):
        return DENY_OVERFLOW
    return ALLOWED if quanta <= apex_mul2(x.limits.order_value_max, x.terms.value_den) else DENY_ORDER_VALUE


cdef DenyReason check_quantity(const Intent* x) noexcept nogil:
    return ALLOWED if x.command.quantity_lots <= x.limits.order_quantity_max else DENY_ORDER_QUANTITY


cdef DenyReason check_position(const Intent* x) noexcept nogil:
    """The position if every open order of this side and this one fill."""
    cdef int128 after = x.added_lots
    if x.added_lots <= 0 or x.command.flags & REDUCE_ONLY:
        return ALLOWED
    if x.command.side == BUY:
        after = after + x.facts.position_lots + x.facts.open_buy_lots
    else:
        after = after - x.facts.position_lots + x.facts.open_sell_lots
    return ALLOWED if after <= x.limits.position_max else DENY_POSITION


cdef DenyReason check_gross(const Intent* x) noexcept nogil:
    cdef int128 quanta
    if x.reduces or x.added_lots <= 0:
        return ALLOWED
    if not x.priced:
        return DENY_NO_MID
    if worth(x, x.added_lots, &quanta) or apex_add(
            quanta, apex_mul2(x.facts.gross_notional, x.terms.value_den), &quanta):
        return DENY_OVERFLOW
    return ALLOWED if quanta <= apex_mul2(x.limits.gross_notional_max, x.terms.value_den) else DENY_GROSS_NOTIONAL


cdef DenyReason check_open_orders(const Intent* x) noexcept nogil:
    if x.command.kind == AMEND or x.facts.open_orders < x.limits.open_orders_max:
        return ALLOWED
    return DENY_OPEN_ORDERS


cdef DenyReason check_rate(const Intent* x) noexcept nogil:
    """Messages sent in the second that ends now, of all instruments; cancellations count and are never denied."""
    cdef int64_t most = x.limits.messages_per_second_max
    cdef int64_t first = x.window.sent - most
    if first < 0:
        return ALLOWED
    # most <= times_size, so the message `most` ago is still in the ring; most = 0 has none and allows none
    if most == 0 or <int128> x.facts.now_ns - x.window.times[first % x.window.times_size] < SECOND_NS:
        return DENY_MESSAGE_RATE
    return ALLOWED


cdef inline uint64_t shape_of(const OrderCommand* c) noexcept nogil:
    return (<uint64_t> c.extra * <uint64_t> 0x9E3779B97F4A7C15 ^ <uint64_t> c.flags << 60
            ^ (<uint64_t> c.instrument << 32 | <uint64_t> c.kind << 24 | <uint64_t> c.side << 16 | <uint64_t> c.type << 8
               | c.tif)
            ^ (c.order_id * <uint64_t> 0xC2B2AE3D27D4EB4F if c.kind == AMEND else 0))


cdef inline int64_t slot_of(const Window* w, uint64_t shape, int64_t ticks, int64_t lots) noexcept nogil:
    cdef uint64_t mixed = (shape * <uint64_t> 0x9E3779B97F4A7C15 ^ <uint64_t> ticks) * <uint64_t> 0xD6E8FEB86659FD93
    mixed = (mixed ^ mixed >> 32 ^ <uint64_t> lots) * <uint64_t> 0xA0761D6478BD642F
    return <int64_t> (mixed >> 32) & w.recent_mask


cdef DenyReason check_duplicate(const Intent* x) noexcept nogil:
    """The same order again within the window. The ring holds more than the rate limit lets through in a window.

    Reduce-only orders are no duplicates: two fills of one size send two equal exits, and neither can open a position.
    """
    cdef const OrderCommand* c = x.command
    cdef const Window* w = x.window
    cdef const Sent* old
    cdef uint64_t shape = shape_of(c)
    cdef int64_t number = w.heads[slot_of(w, shape, c.price_ticks, c.quantity_lots)]
    if c.flags & REDUCE_ONLY:
        return ALLOWED
    while number >= 0 and number >= w.orders - w.recent_mask - 1:      # else its place in the ring is taken
        old = &w.recent[number & w.recent_mask]
        if <int128> x.facts.now_ns - old.ts_ns >= x.limits.duplicate_window_ns:
            return ALLOWED
        if old.shape == shape and old.price_ticks == c.price_ticks and old.quantity_lots == c.quantity_lots:
            return DENY_DUPLICATE
        number = old.older
    return ALLOWED


cdef DenyReason check_self_trade(const Intent* x) noexcept nogil:
    """It would meet an own order: by price, or, for a market order, by eating through the touch.

    A stop is not in the market yet; nobody knows whom it will meet.
    """
    cdef const RiskFacts* f = x.facts
    if x.command.type >= STOP:
        return ALLOWED
    if not x.priced:
        return DENY_NO_MID
    if x.command.side == BUY:
        if f.own_best_ask_ticks >= NO_ASK:
            return ALLOWED
        if x.price_ticks >= f.own_best_ask_ticks:
            return DENY_SELF_TRADE
        return DENY_SELF_TRADE if x.command.type == MARKET and x.command.quantity_lots > f.touch_ask_lots else ALLOWED
    if f.own_best_bid_ticks <= NO_BID:
        return ALLOWED
    if x.price_ticks <= f.own_best_bid_ticks:
        return DENY_SELF_TRADE
    return DENY_SELF_TRADE if x.command.type == MARKET and x.command.quantity_lots > f.touch_bid_lots else ALLOWED


cdef DenyReason check_daily_loss(const Intent* x) noexcept nogil:
    if x.reduces or <int128> x.facts.equity_day_start - x.facts.equity_now <= x.limits.daily_loss_max:
        return ALLOWED
    return DENY_DAILY_LOSS


cdef DenyReason check_drawdown(const Intent* x) noexcept nogil:
    if x.reduces or <int128> x.facts.equity_peak - x.facts.equity_now <= x.limits.drawdown_max:
        return ALLOWED
    return DENY_DRAWDOWN


# ---- the table ------------------------------------------------------------------------------------------------------

cdef struct Check:
    DenyReason (*run)(const Intent*) noexcept nogil
    DenyReason reason

cdef Check[24] TABLE
cdef int table_count = 0

REASONS = {<int> ALLOWED: "allowed", <int> DENY_OVERFLOW: "overflow", <int> DENY_GATEWAY: "gateway-refused"}
"""Names of the reasons: the table's, in its order, and three that no row owns."""


cdef _row(DenyReason (*run)(const Intent*) noexcept nogil, DenyReason reason, name):
    global table_count
    TABLE[table_count].run, TABLE[table_count].reason = run, reason
    table_count += 1
    REASONS[<int> reason] = name


_row(check_facts, DENY_FACTS_UNKNOWN, "facts-unknown")
_row(check_halted, DENY_HALTED, "halted")
_row(check_malformed, DENY_MALFORMED, "malformed")
_row(check_reducing, DENY_REDUCING, "reducing-only")
_row(check_unsynced, DENY_BOOK_UNSYNCED, "book-unsynced")
_row(check_stale, DENY_BOOK_STALE, "book-stale")
_row(check_mid, DENY_NO_MID, "no-mid")
_row(check_crossed, DENY_BOOK_CROSSED, "book-crossed")
_row(check_collar, DENY_PRICE_COLLAR, "price-collar")
_row(check_fat_finger, DENY_FAT_FINGER, "fat-finger")
_row(check_value, DENY_ORDER_VALUE, "order-value")
_row(check_quantity, DENY_ORDER_QUANTITY, "order-quantity")
_row(check_position, DENY_POSITION, "position")
_row(check_gross, DENY_GROSS_NOTIONAL, "gross-notional")
_row(check_open_orders, DENY_OPEN_ORDERS, "open-orders")
_row(check_rate, DENY_MESSAGE_RATE, "message-rate")
_row(check_duplicate, DENY_DUPLICATE, "duplicate")
_row(check_self_trade, DENY_SELF_TRADE, "self-trade")
_row(check_daily_loss, DENY_DAILY_LOSS, "daily-loss")
_row(check_drawdown, DENY_DRAWDOWN, "drawdown")

STATES = {"ACTIVE": <int> ACTIVE, "REDUCING": <int> REDUCING, "HALTED": <int> HALTED}
LIMIT_KEYS = (
    "price_collar", "fat_finger_multiple", "order_value_max", "order_quantity_max", "position_max",
    "gross_notional_max", "open_orders_max", "messages_per_second_max", "book_age_max_ns", "duplicate_window_ns",
    "daily_loss_max", "drawdown_max",
)
cdef RiskFacts _shape
memset(&_shape, 0, sizeof(RiskFacts))
FACTS_DTYPE = np.asarray(<RiskFacts[:1]> &_shape).dtype


def facts(**known):
    """One row of facts; see risk.pyi."""
    row = np.zeros(1, FACTS_DTYPE)
    row["bid_ticks"] = row["own_best_bid_ticks"] = NO_BID
    row["ask_ticks"] = row["own_best_ask_ticks"] = NO_ASK
    for name, value in known.items():
        row[name] = value
    return row


# ---- the gate -------------------------------------------------------------------------------------------------------

cdef class Gateway:
    """See Gateway in risk.pyi."""

    cdef int send(self, const OrderCommand* command) noexcept nogil:
        return 1


cdef class CountingGateway(Gateway):
    """See CountingGateway in risk.pyi."""

    cdef int send(self, const OrderCommand* command) noexcept nogil:
        if self.answer == 0:
            self.count = self.count + 1
            self.last = command[0]
        return self.answer


cdef int64_t _limit(int i, dict given, str key, int64_t most) except -1:
    value = given.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"instrument {i}: {key} must be an integer from 0 to {most}, not {value!r}")
    return value


cdef int _read_limits(int i, object given, const Terms* terms, RiskLimits* out) except -1:
    """Limits of one instrument; ValueError when its worst product would overflow."""
    cdef int128 worst
    cdef bint bad
    if not isinstance(given, dict) or set(given) != set(LIMIT_KEYS):
        raise ValueError(f"instrument {i}: limits must be a dict of {', '.join(LIMIT_KEYS)}")
    out.price_collar = _limit(i, given, "price_collar", LLONG_MAX)
    out.fat_finger_multiple = _limit(i, given, "fat_finger_multiple", LLONG_MAX)
    out.order_value_max = _limit(i, given, "order_value_max", MONEY_MAX)
    out.order_quantity_max = _limit(i, given, "order_quantity_max", SIZE_MAX)
    out.position_max = _limit(i, given, "position_max", SIZE_MAX)
    out.gross_notional_max = _limit(i, given, "gross_notional_max", MONEY_MAX)
    out.open_orders_max = _limit(i, given, "open_orders_max", LLONG_MAX)
    out.messages_per_second_max = _limit(i, given, "messages_per_second_max", RECENT_MAX)
    out.book_age_max_ns = _limit(i, given, "book_age_max_ns", LLONG_MAX)
    out.duplicate_window_ns = _limit(i, given, "duplicate_window_ns", LLONG_MAX)
    out.daily_loss_max = _limit(i, given, "daily_loss_max", MONEY_MAX)
    out.drawdown_max = _limit(i, given, "drawdown_max", MONEY_MAX)
    # The ledger posts value * FEE_SCALE in 1 / value_den; one more bit for value and fee together.
    worst = <int128> out.gross_notional_max + out.order_value_max
    bad = worst > MONEY_MAX or apex_mul(worst, terms.value_den, &worst) or apex_mul(worst, 2 * FEE_SCALE, &worst)
    if out.position_max < SIZE_MAX and terms.kind != INVERSE:
        worst = apex_mul2(out.position_max, terms.value_num)
        bad = bad or worst > apex_mul2(MONEY_MAX, terms.value_den)
    if bad:
        raise ValueError(f"instrument {i}: its worst product at its limits overflows the ledger: "
                         f"lower gross_notional_max, order_value_max or position_max")
    return 0


cdef class RiskGate:
    """See RiskGate in risk.pyi."""

    def __cinit__(self, limits, terms, *, gateway=None, scripted=False):
        self.count = len(limits)
        self.limits = <RiskLimits*> calloc(max(self.count, 1), sizeof(RiskLimits))
        self.terms = <Terms*> calloc(max(self.count, 1), sizeof(Terms))
        if self.limits == NULL or self.terms == NULL:
            raise MemoryError("no memory for the risk gate")

    def __dealloc__(self):
        free(self.limits)
        free(self.terms)
        free(self.window.times)
        free(self.window.recent)
        free(self.window.heads)

    def __init__(self, limits, terms, *, Gateway gateway=None, bint scripted=False):
        """See RiskGate in risk.pyi."""
        cdef int i
        cdef int64_t rate = 1, seconds = 1
        if len(terms) != self.count or self.window.times != NULL:
            raise ValueError(f"{self.count} limits and {len(terms)} terms: give both once for each instrument")
        for i in range(self.count):
            read_terms(terms[i], &self.terms[i])
            _read_limits(i, limits[i], &self.terms[i], &self.limits[i])
            rate = max(rate, self.limits[i].messages_per_second_max)
            seconds = max(seconds, self.limits[i].duplicate_window_ns // SECOND_NS + 1)
        self._gateway = Gateway() if gateway is None else gateway
        self.scripted = scripted
        self.state = ACTIVE
        self._open_window(rate, seconds)

    cdef int _open_window(self, int64_t rate, int64_t seconds) except -1:
        """Rings for the messages of a second and for the orders of the duplicate window."""
        cdef int64_t size = 64
        while size <= rate * seconds and size <= RECENT_MAX:
            size *= 2
        if rate * seconds > RECENT_MAX or seconds > RECENT_MAX:
            raise ValueError(f"duplicate_window_ns times messages_per_second_max exceeds {RECENT_MAX} orders: lower one")
        self.window.times_size, self.window.recent_mask = rate, size - 1
        self.window.times = <int64_t*> calloc(rate, sizeof(int64_t))
        self.window.recent = <Sent*> calloc(size, sizeof(Sent))
        self.window.heads = <int64_t*> calloc(size, sizeof(int64_t))
        if self.window.times == NULL or self.window.recent == NULL or self.window.heads == NULL:
            raise MemoryError("no memory for the risk gate")
        memset(self.window.heads, 0xFF, size * sizeof(int64_t))
        return 0

    cdef DenyReason submit(self, const OrderCommand* command, const RiskFacts* facts) noexcept nogil:
        """Send a command if every check allows it, and say why not otherwise."""
        cdef Intent x
        cdef int64_t* denials = &self.placed[0] if command.kind == PLACE else &self.requested[0]
        cdef DenyReason reason = ALLOWED, found
        cdef int i
        if command.instrument >= <unsigned int> self.count:
            denials[<int> DENY_MALFORMED] += 1
            return DENY_MALFORMED
        x.command, x.facts, x.window, x.state = command, facts, &self.window, self.state
        x.limits, x.terms = &self.limits[command.instrument], &self.terms[command.instrument]
        if command.kind == CANCEL:
            reason = check_malformed(&x)
            if reason != ALLOWED:
                denials[<int> reason] += 1
        else:
            _derive(&x)
            for i in range(table_count):
                found = TABLE[i].run(&x)
                if found != ALLOWED:
                    denials[<int> found] += 1
                    reason = found
                    if not self.scripted:
                        return reason
        if reason != ALLOWED and not self.scripted:
            return reason
        if self._gateway.send(command) != 0:
            denials[<int> DENY_GATEWAY] += 1
            return DENY_GATEWAY
        self._remember(command, facts.now_ns)
        return ALLOWED

    cdef void _remember(self, const OrderCommand* command, int64_t now) noexcept nogil:
        """Put a sent command into the windows."""
        cdef Window* w = &self.window
        cdef Sent* entry
        cdef int64_t slot
        w.times[w.sent % w.times_size] = now
        w.sent += 1
        if command.kind == CANCEL:
            self.sent_requests = self.sent_requests + 1
            return
        entry = &w.recent[w.orders & w.recent_mask]
        entry.ts_ns, entry.shape = now, shape_of(command)
        entry.price_ticks, entry.quantity_lots = command.price_ticks, command.quantity_lots
        slot = slot_of(w, entry.shape, entry.price_ticks, entry.quantity_lots)
        entry.older = w.heads[slot]
        w.heads[slot] = w.orders
        w.orders += 1
        if command.kind == PLACE:
            self.sent_orders = self.sent_orders + 1
        else:
            self.sent_requests = self.sent_requests + 1

    # ---- Python's face -------------------------------------------------------------------------------------------

    def check_command(self, const OrderCommand[::1] commands not None, const RiskFacts[::1] known not None):
        """Submit commands with their facts, one row of facts for all or one each; see risk.pyi."""
        cdef Py_ssize_t i, one = 0 if known.shape[0] == 1 else 1
        if one and known.shape[0] != commands.shape[0]:
            raise ValueError(f"{commands.shape[0]} commands and {known.shape[0]} rows of facts")
        answers = np.zeros(commands.shape[0], np.uint8)
        cdef uint8_t[::1] out = answers
        with nogil:
            for i in range(commands.shape[0]):
                out[i] = <uint8_t> self.submit(&commands[i], &known[i * one])
        return answers

    def _check(self):
        """Walk the windows; see risk.pyi."""
        cdef Window* w = &self.window
        cdef Sent* entry
        cdef int64_t number, at
        assert w.sent == self.sent_orders + self.sent_requests >= w.orders, ("messages", w.sent)
        for number in range(max(0, w.orders - w.recent_mask - 1), w.orders):
            entry = &w.recent[number & w.recent_mask]
            at = w.heads[slot_of(w, entry.shape, entry.price_ticks, entry.quantity_lots)]
            while at > number:
                at = w.recent[at & w.recent_mask].older
            assert at == number, ("a remembered order cannot be found", number)

    @property
    def trading_state(self):
        """ACTIVE, REDUCING or HALTED."""
        return next(name for name, code in STATES.items() if code == <int> self.state)

    def set_trading_state(self, name):
        """Change the trading state; see risk.pyi."""
        if name not in STATES:
            raise ValueError(f"trading state {name!r} is none of {', '.join(STATES)}")
        cdef int code = STATES[name]
        if code != <int> self.state:
            self.state = <TradingState> code
            self.transitions[code] += 1

    def transition_counts(self):
        """How often each trading state was entered."""
        return {name: self.transitions[<int> code] for name, code in STATES.items()}

    def counters(self):
        """Denials of new orders by reason, none that is 0; see risk.pyi."""
        return {name: self.placed[<int> code] for code, name in REASONS.items() if self.placed[<int> code]}

    def request_counters(self):
        """Denials of amendments and cancellations by reason; see risk.pyi."""
        return {name: self.requested[<int> code] for code, name in REASONS.items() if self.requested[<int> code]}


cdef inline void _derive(Intent* x) noexcept nogil:
    """What several checks need. Sums are of 128 bits: facts and commands are not yet checked here."""
    cdef const OrderCommand* c = x.command
    cdef const RiskFacts* f = x.facts
    cdef int128 after
    x.has_touch = f.bid_ticks > NO_BID and f.ask_ticks < NO_ASK
    x.mid2 = <int128> f.bid_ticks + f.ask_ticks if x.has_touch else 0
    if c.type == MARKET:
        x.priced = f.ask_ticks < NO_ASK if c.side == BUY else f.bid_ticks > NO_BID
        x.price_ticks = f.ask_ticks if c.side == BUY else f.bid_ticks
    else:
        x.priced, x.price_ticks = True, c.price_ticks
    x.added_lots = <int128> c.quantity_lots - (f.amended_lots if c.kind == AMEND else 0)
    if c.side == BUY:
        after = <int128> f.position_lots + f.open_buy_lots + x.added_lots
        x.reduces = f.position_lots < 0 and after <= 0
    else:
        after = <int128> f.position_lots - f.open_sell_lots - x.added_lots
        x.reduces = f.position_lots > 0 and after >= 0
    if c.flags & REDUCE_ONLY:
        x.reduces = x.reduces or (f.position_lots < 0 if c.side == BUY else f.position_lots > 0)
