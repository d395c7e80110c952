"""The features of one instrument: what can be asked for, how it is named, and who hears what.

The table below is the whole list: a feature is a class in one of the features_* modules and a row here.
"""

from cpython.ref cimport PyObject
from libc.math cimport NAN
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t

from collections import namedtuple

from apex._core.book cimport Book, BookData, book_quantity, book_top
from apex._core.events cimport BUY, SELL
from apex._core.feature cimport (
    HEARS_BOOK, HEARS_GRID, HEARS_READ, HEARS_TIME, HEARS_TRADE, PARTS_MAX, Feature, Market, Print,
)

from apex._core.feature import duration_ns
from apex._core.features_levels import Depth, DepthImpact, Elasticity, LevelFlow, LevelImbalance, Slope
from apex._core.features_liquidity import BarMeasures, PriceImpact, Whales
from apex._core.features_shape import Clusters, Spoofing, Walls
from apex._core.features_touch import DecayedFlow, MicroPrice, OrderFlow, Quote, Returns, TouchSamples
from apex._core.features_trades import (
    BulkVpin, EffectiveSpread, Hawkes, HawkesPair, Roll, TradeFlow, TradeSign, Vpin,
)

Row = namedtuple("Row", "kind parts params fixed")

DURATION, INTEGER, NUMBER, TABLE = "duration", "integer", "number", "table"


def _row(kind, parts, params="", fixed=()):
    """A row; `parts` "a b c" or {"": 0}, where "" is the family's own name; `params` "name=default ...".

    Defaults are durations ("1s"), integers ("5"), numbers ("0.5") or a table ("table").
    """
    made = []
    for word in params.split():
        name, default = word.split("=")
        if default == TABLE:
            made.append((name, TABLE, None))
        elif default[len(default) - 1:].isalpha():
            made.append((name, DURATION, duration_ns(default)))
        else:
            made.append((name, NUMBER, float(default)) if "." in default else (name, INTEGER, int(default)))
    if isinstance(parts, str):
        parts = {"" if word == "_" else word: i for i, word in enumerate(parts.split())}
    return Row(kind, parts, tuple(made), tuple(fixed))


_CLUSTERS = {"": 0, **{f"{what}{n}": 5 * i + n - 1 for i, what in enumerate(("price", "lots", "distance"))
                       for n in range(1, 6)}}
_WALLS = " ".join(f"{side}_{what}" for side in ("bid", "ask")
                  for what in ("count", "price", "lots", "age", "strength", "distance"))
_STATS = "mean std quantile"
_RETURNS = "step=1s steps=60"

FEATURES = {
    # the touch
    "imbalance": _row(Quote, {"": 7, "signed": 8}),
    "weighted_mid": _row(Quote, {"": 9}),
    "touch": _row(Quote, "mid spread spread_bp bid ask bid_lots ask_lots"),
    "microprice": _row(MicroPrice, "_ shift", "model=table"),
    "ofi": _row(OrderFlow, "_ scaled", "window=1s"),
    "ofi_decayed": _row(DecayedFlow, "_", "tau=1s"),
    "volatility": _row(Returns, {"": 0}, _RETURNS),
    "realised": _row(Returns, {"variance": 1, "bipower": 2, "jump": 3, "up": 4, "down": 5, "jump_z": 6, "two_scale": 7},
                     _RETURNS),
    "spread_stats": _row(TouchSamples, _STATS, "step=100ms steps=600 q=0.5", (False,)),
    "size_stats": _row(TouchSamples, _STATS, "step=100ms steps=600 q=0.5", (True,)),
    # several levels
    "mlofi": _row(LevelFlow, "_ 1 2 3 4 5 6 7 8 9 10", "levels=5 window=1s decay=0.0"),
    "level_imbalance": _row(LevelImbalance, "_", "levels=5 decay=0.0"),
    "depth": _row(Depth, "_ bid ask imbalance", "band=10.0 every=100ms"),
    "slope": _row(Slope, "_ bid ask", "band=50.0 every=1s"),
    "elasticity": _row(Elasticity, "_ bid ask", "levels=10 every=100ms"),
    "impact": _row(DepthImpact, "buy sell", "notional=10000.0 every=100ms"),
    # the book's shape
    "wall": _row(Walls, _WALLS, "band=100.0 k=4.0 value=50000.0 share=0.005 persist=3s every=1s"),
    "support": _row(Clusters, _CLUSTERS, "band=100.0 bandwidth=5.0 age=30s every=1s", (BUY,)),
    "resistance": _row(Clusters, _CLUSTERS, "band=100.0 bandwidth=5.0 age=30s every=1s", (SELL,)),
    "spoofing": _row(Spoofing, "bid ask", "levels=20 band=50.0 window=5s every=100ms"),
    # trades
    "trade_sign": _row(TradeSign, "_"),
    "trade_flow": _row(TradeFlow, "_ buy sell", "window=1s"),
    "effective_spread": _row(EffectiveSpread, "_ mean", "trades=100"),
    "roll": _row(Roll, "_", "trades=100"),
    "vpin": _row(Vpin, "_", "volume=0.0 buckets=50 horizon=1d"),
    "vpin_bulk": _row(BulkVpin, "_", "volume=0.0 buckets=50 bar=1m horizon=1d"),
    "hawkes": _row(Hawkes, "_", "mu=1.0 alpha=0.5 beta=1.0"),
    "hawkes_pair": _row(HawkesPair, "buy sell skew branching",
                        "mu_buy=1.0 mu_sell=1.0 buy_buy=0.5 buy_sell=0.1 sell_buy=0.1 sell_sell=0.5 beta=1.0"),
    # price impact, illiquidity, large trades
    "kyle": _row(PriceImpact, "_ r2", "step=1s tau=5m power=1.0", (False,)),
    "hasbrouck": _row(PriceImpact, "_ r2", "step=5m tau=1h power=0.5", (True,)),
    "amihud": _row(BarMeasures, {"": 0}, "bar=1m bars=60"),
    "corwin_schultz": _row(BarMeasures, {"": 1}, "bar=1m bars=60"),
    "whale": _row(Whales, "_ direction confidence z flag count net",
                  "window=1m parents=1000 horizon=1h z=3.5 q=0.995 rank_horizon=1d times=0.0"),
}

NAMES = {
    "imbalance": IMBALANCE, "weighted_mid": WEIGHTED_MID, "ofi": OFI, "volatility": VOLATILITY,
    "trade_sign": TRADE_SIGN,
}


def _converted(family, name, kind, given):
    """A parameter's value from text or Python."""
    try:
        if kind == DURATION:
            return duration_ns(given) if isinstance(given, str) else int(given)
        if kind == INTEGER:
            return int(given)
        if kind == NUMBER:
            return float(given)
        return tuple(tuple(map(float, row)) for row in getattr(given, "table", given))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{family}: parameter {name}={given!r} is no {kind}: {error}") from None


def parse(text, parameters=None, defaults=None):
    """(family, part, values of the parameters) of a feature's name; see features.pyi."""
    words = text.split(":")
    family, _, part = words[0].partition(".")
    if family not in FEATURES:
        raise ValueError(f"no feature {family!r}: there are {', '.join(FEATURES)}")
    row = FEATURES[family]
    if part not in row.parts:
        every = ", ".join(f"{family}.{p}" if p else family for p in row.parts)
        raise ValueError(f"no feature {words[0]!r}: there are {every}")
    found = dict(parameters or {})
    names = [name for name, _, _ in row.params]
    for place, word in enumerate(words[1:]):
        name, equals, value = word.partition("=")
        if not equals:
            if place >= len(names):
                raise ValueError(f"{text!r} has more than the {len(names)} parameters of {family}")
            name, value = names[place], word
        if name in found:
            raise ValueError(f"{text!r} gives {name} twice")
        found[name] = value
    for name in found:
        if name not in names:
            raise ValueError(f"{family} has no parameter {name!r}: it has {', '.join(names) or 'none'}")
    values = []
    for name, kind, default in row.params:
        value = (defaults or {}).get((family, name), default)
        if name in found:
            value = _converted(family, name, kind, found[name])
        if value is None:
            raise ValueError(f"{family} needs its parameter {name}")
        values.append(value)
    return family, part, tuple(values)


cdef class Features:
    """See Features in features.pyi."""

    def __cinit__(self, *args, **kwargs):
        cdef int i
        for i in range(SLOTS_MAX + 1):
            self.values[i] = NAN
        self.nodes = []
        self.slots, self.keys, self.known, self.defaults = {}, {}, {}, {}
        self.slot_count = FEATURE_COUNT
        self.due = INT64_MAX
        self.market.since, self.market.now = -1, INT64_MIN

    def __init__(self, *, int64_t ofi_window_ns=1_000_000_000, int64_t step_ns=1_000_000_000, int steps=60,
                 asked=None, double value_scale=1.0, double value_lot=0.0):
        """See Features in features.pyi."""
        self.market.value_scale, self.market.value_lot = value_scale, value_lot
        self.defaults["ofi", "window"] = ofi_window_ns
        self.defaults["volatility", "step"], self.defaults["volatility", "steps"] = step_ns, steps
        for text in NAMES if asked is None else asked:
            self.slot(text, {})

    # ---- asking ------------------------------------------------------------------------------------------------

    cdef int slot(self, text, dict parameters) except -1:
        """Where a value lies; the feature begins to hear when it is first asked for."""
        cdef int slot
        cdef object key = text if not parameters else None
        found = self.known.get(key) if key is not None else None
        if found is not None:
            return found
        family, part, values = parse(text, parameters, self.defaults)
        row = FEATURES[family]
        for (name, kind, _), value in zip(row.params, values, strict=True):
            if kind == TABLE:
                self.defaults[family, name] = value
                key = text                          # the name alone means the last table from now on
        node = self._node(row.kind, values + row.fixed)
        place = row.parts[part]
        if (node, place) not in self.slots:
            base = -1
            if family in NAMES and not part and values == parse(family, {}, self.defaults)[2]:
                base = NAMES[family]
            if base < 0 and self.slot_count == SLOTS_MAX:
                raise ValueError(f"more than {SLOTS_MAX} features of one instrument")
            slot = base if base >= 0 else self.slot_count
            self.slot_count = self.slot_count + (base < 0)
            self.slots[node, place] = slot
            self._point(<Feature> self.nodes[node], place, slot)
        if key is not None:
            self.known[key] = self.slots[node, place]
        return self.slots[node, place]

    def _point(self, Feature node not None, int part, int slot):
        """Let a part of a feature write into a slot."""
        node.out[part] = &self.values[slot]          # lives as long as this object, which holds the node
        node.wants |= <unsigned int> 1 << part
        self.dirty[slot] = node.dirty

    def _node(self, kind, values):
        """The feature of a class with these arguments; made on first use."""
        cdef Feature node
        cdef int i
        key = (kind, values)
        if key in self.keys:
            return self.keys[key]
        if len(self.nodes) == NODES_MAX:
            raise ValueError(f"more than {NODES_MAX} different features of one instrument")
        node = kind(*values)
        for i in range(PARTS_MAX):
            node.out[i] = &self.values[SLOTS_MAX]
        node.asked = self.market.now
        self.keys[key] = len(self.nodes)
        self.nodes.append(node)
        if node.hears & HEARS_BOOK:
            self.on_books[self.book_count] = <PyObject*> node
            self.book_count = self.book_count + 1
        if node.hears & HEARS_TRADE:
            self.on_trades[self.trade_count] = <PyObject*> node
            self.trade_count = self.trade_count + 1
        if node.hears & HEARS_TIME:
            self.on_times[self.time_count] = <PyObject*> node
            self.time_count = self.time_count + 1
            self.due = INT64_MIN
        if node.hears & HEARS_READ:
            self.on_reads[self.read_count] = <PyObject*> node
            self.read_count = self.read_count + 1
        if node.hears & HEARS_GRID:
            self.on_grids[self.grid_count] = <PyObject*> node
            self.grid_count = self.grid_count + 1
        self.depth = max(self.depth, node.depth)
        return self.keys[key]

    # ---- hearing -----------------------------------------------------------------------------------------------

    cdef void on_gap(self) noexcept nogil:
        """The book is unknown: what was learnt from it is forgotten. What was learnt from trades is not."""
        cdef Market* m = &self.market
        cdef int i
        m.since, m.valid, m.mid2, m.mid2_before, m.mid2_ts = -1, False, 0, 0, 0
        m.bid_count = m.ask_count = 0
        for i in range(self.book_count):
            (<Feature> self.on_books[i]).on_gap()
        for i in range(self.time_count):
            (<Feature> self.on_times[i]).on_gap()
        for i in range(self.grid_count):
            (<Feature> self.on_grids[i]).blank()
            (<Feature> self.on_grids[i]).due = INT64_MIN
            (<Feature> self.on_grids[i]).on_gap()
        if self.time_count:
            self.due = INT64_MIN

    cdef void on_book(self, const BookData* book, bint valid, int64_t now) noexcept nogil:
        """The book after a whole depth message; `valid` is False when a side is empty or the book crossed."""
        cdef int64_t bid = book.bid.best, ask = book.ask.best
        self.on_touch(bid, book_quantity(book, BUY, bid) if valid else 0,
                      ask, book_quantity(book, SELL, ask) if valid else 0, valid, now, book)

    cdef void on_touch(self, int64_t bid, int64_t bid_lots, int64_t ask, int64_t ask_lots, bint valid, int64_t now,
                       const BookData* book) noexcept nogil:
        """The touch after a whole depth message, and the book, where there is one."""
        cdef Market* m = &self.market
        cdef int i
        if now > self.due:
            self._pass_time(now)
        m.now, m.valid = now, valid
        if valid:
            m.bid, m.bid_lots, m.ask, m.ask_lots = bid, bid_lots, ask, ask_lots
            if now != m.mid2_ts:
                m.mid2_before = m.mid2
            m.mid2, m.mid2_ts = bid + ask, now
            if m.since < 0:
                m.since = now
            if self.depth:
                self._levels(book)
        for i in range(self.book_count):
            (<Feature> self.on_books[i]).on_book(m)
        if self.grid_count:
            m.book = book
            for i in range(self.grid_count):
                if not valid:
                    (<Feature> self.on_grids[i]).blank()
                    (<Feature> self.on_grids[i]).due = INT64_MIN
                elif now >= (<Feature> self.on_grids[i]).due and book != NULL:
                    if (<Feature> self.on_grids[i]).every_ns:
                        (<Feature> self.on_grids[i]).due = (now // (<Feature> self.on_grids[i]).every_ns + 1) * (
                            <Feature> self.on_grids[i]).every_ns
                    (<Feature> self.on_grids[i]).on_book(m)
            m.book = NULL                            # the caller's; gone when this returns

    cdef void _levels(self, const BookData* book) noexcept nogil:
        """Copy the first levels of both sides."""
        cdef Market* m = &self.market
        if book != NULL:
            m.bid_count = book_top(book, BUY, self.depth, m.bid_ticks, m.bid_sizes)
            m.ask_count = book_top(book, SELL, self.depth, m.ask_ticks, m.ask_sizes)
        else:
            m.bid_count = m.ask_count = 1
            m.bid_ticks[0], m.bid_sizes[0], m.ask_ticks[0], m.ask_sizes[0] = m.bid, m.bid_lots, m.ask, m.ask_lots

    cdef void _pass_time(self, int64_t now) noexcept nogil:
        """Let grids and bars that ended before `now` be closed with what the market was."""
        cdef int64_t due = INT64_MAX, then
        cdef int i
        for i in range(self.time_count):
            then = (<Feature> self.on_times[i]).on_time(&self.market, now)
            if then < due:
                due = then
        self.due = due

    cdef void on_trade(self, int side, int64_t ticks, int64_t lots, int64_t now, int64_t ts_exchange) noexcept nogil:
        """A market trade. Its sign: the venue's aggressor, or where it says none, Lee and Ready's rule (1991)."""
        cdef Market* m = &self.market
        cdef Print t
        cdef int64_t then
        cdef int i
        if now > self.due:
            self._pass_time(now)
        m.now = now
        t.now, t.ticks, t.lots = now, ticks, lots
        t.ts_exchange_ns = ts_exchange if ts_exchange else now
        t.mid2 = m.mid2 if m.mid2_ts < now else m.mid2_before
        t.value = <double> lots * (<double> ticks * m.value_scale + m.value_lot)
        if self.trade_ticks != 0 and ticks != self.trade_ticks:
            self.trade_tick_sign = 1 if ticks > self.trade_ticks else -1
        self.trade_ticks = ticks
        if side == BUY or side == SELL:
            t.sign = 1 if side == BUY else -1
        elif t.mid2 > 0 and 2 * ticks != t.mid2:
            t.sign = 1 if 2 * ticks > t.mid2 else -1
        else:
            t.sign = self.trade_tick_sign
        for i in range(self.trade_count):
            then = (<Feature> self.on_trades[i]).on_trade(m, &t)
            if then < self.due:
                self.due = then

    cdef void on_read(self, int64_t now) noexcept nogil:
        """Bring what depends on time alone to `now`, before somebody reads; no later value changes by it."""
        cdef int i
        if now > self.due:
            self._pass_time(now)
        for i in range(self.read_count):
            (<Feature> self.on_reads[i]).on_time(&self.market, now)

    # ---- Python's face -------------------------------------------------------------------------------------------

    def ask(self, text, **parameters):
        """Begin to compute a value; see features.pyi."""
        return self.slot(text, parameters)

    def value(self, text, **parameters):
        """Value of a feature; see features.pyi."""
        return self.values[self.slot(text, parameters)]

    def book(self, int64_t bid, int64_t bid_lots, int64_t ask, int64_t ask_lots, int64_t now, bint valid=True):
        """A touch; see features.pyi."""
        if valid and (bid_lots < 0 or ask_lots < 0 or bid_lots + ask_lots == 0):
            raise ValueError(f"a touch of {bid_lots} and {ask_lots} lots")
        self.on_touch(bid, bid_lots, ask, ask_lots, valid, now, NULL)

    def message(self, Book book not None, int64_t now):
        """A book after a whole message; see features.pyi."""
        self.on_book(book.data, book.bid_ticks is not None and book.ask_ticks is not None
                     and book.data.bid.best < book.data.ask.best, now)

    def trade(self, int side, int64_t ticks, int64_t lots, int64_t now, int64_t ts_exchange=0):
        """A trade; see features.pyi."""
        self.on_trade(side, ticks, lots, now, ts_exchange)

    def gap(self):
        """The book is lost; see features.pyi."""
        self.on_gap()

    def advance(self, int64_t now):
        """Time passes; see features.pyi."""
        self.on_read(now)

    @property
    def forgotten(self):
        return sum((<Feature> node).forgotten for node in self.nodes)

    @property
    def ofi_forgotten(self):
        return self.forgotten
