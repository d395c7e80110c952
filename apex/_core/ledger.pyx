"""Positions and cash in integers, by double entry.

Accounts of one instrument. Base currency: our lots and the venue's, whose sum is 0. Quote currency, in
1 / (value_den * FEE_SCALE) of a cash unit: our cash, our variation account, what the venue holds against our fills
exactly (value, fee, charges), and the rounding account; their sum is 0 too. On a spot instrument a fill moves cash by its
whole value. On a linear one cash moves by realised P&L and fees, and the value of the open lots stands in the
variation account until it is realised, as margin does at a venue.

An inverse instrument is kept in coin, in the same accounts: who buys lots at a price owes nothing now, and lots / price
coin less at a higher one, so that a buy brings its value and a sale costs it. lots / price is no multiple of any unit;
the venue's accounts hold it in 1 / FEE_SCALE of a cash unit, rounded against us.

A fill rounds once: the cash it moves is its value with its fee, exactly, rounded down. Everything else is a sum of
integers or a split of one, so gross = realised + unrealised and net = gross - fees hold to the unit.
"""
from libc.limits cimport LLONG_MAX
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import numpy as np

from apex._core.events cimport BUY, SELL

_PAY_KINDS = {"spot": SPOT, "linear": LINEAR, "inverse": INVERSE}

FIELDS = (
    "lots", "cost", "fees", "realised", "flows", "cash", "variation", "spread_captured", "bought_lots", "sold_lots",
    "fills", "maker_fills",
)
"""Plain fields of a position, in the order of its struct."""

WIDE = ("turnover", "venue_quote", "venue_fees", "rounding")
"""Fields of 128 bits; a snapshot holds each as two."""

SNAPSHOT_DTYPE = np.dtype([(x, "<i8") for x in FIELDS] + [(f"{x}_{half}", "<i8") for x in WIDE for half in ("high", "low")])


cdef int64_t _integer(dict given, str key) except? -1:
    value = given.get(key, 0 if key.endswith("_fee") else None)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key} must be an integer, not {value!r}")
    if not -LLONG_MAX <= value <= LLONG_MAX:
        raise ValueError(f"{key} {value} does not fit 64 bits")
    return value


cdef int read_terms(object given, Terms* out) except -1:
    """Terms of one instrument from a dict; ValueError for what cannot be kept exactly."""
    if not isinstance(given, dict):
        raise ValueError(f"terms must be a dict, not {type(given).__name__}")
    kind = given.get("kind", "linear")
    if kind not in _PAY_KINDS:
        raise ValueError(f"kind {kind!r} is not kept by this ledger: it keeps {', '.join(_PAY_KINDS)}")
    out.kind = _PAY_KINDS[kind]
    out.tick_1e8 = _integer(given, "tick_1e8") if given.get("tick_1e8") else 0
    out.value_num, out.value_den = _integer(given, "value_num"), _integer(given, "value_den")
    out.maker_fee, out.taker_fee = _integer(given, "maker_fee"), _integer(given, "taker_fee")
    if out.value_num <= 0 or out.value_den <= 0:
        raise ValueError(f"a tick times a lot must be worth more than 0, not {out.value_num}/{out.value_den}")
    for key in ("maker_fee", "taker_fee"):
        if not -FEE_SCALE <= _integer(given, key) <= FEE_SCALE:
            raise ValueError(f"{key} {given[key]} is no fraction between -1 and 1 in 1e-12")
    return 0


# ---- point functions ------------------------------------------------------------------------------------------------

cdef bint _bump(int64_t* field, int128 by) noexcept nogil:
    """Add to a field; True when the sum does not fit."""
    cdef int128 total
    if apex_add(field[0], by, &total) or not apex_fits(total):
        return True
    field[0] = <int64_t> total
    return False


cdef int128 ledger_unit(const Terms* t) noexcept nogil:
    """How many of the venue's units are a cash unit."""
    return FEE_SCALE if t.kind == INVERSE else apex_mul2(t.value_den, FEE_SCALE)


cdef inline bint _long_pays(const Position* p, const Terms* t) noexcept nogil:
    """Whether the open lots were paid for: a linear long, an inverse short."""
    return (p.lots > 0) != (t.kind == INVERSE)


cdef bint ledger_value(const Terms* t, int64_t lots, int64_t ticks, int64_t rest, int64_t rate, bint up,
                       int128* out) noexcept nogil:
    """Value of signed lots at ticks and `rest` 1e-8 of quote, times a rate, in the venue's units; True on overflow.

    Exact where it can be, else rounded up or down.
    """
    cdef int128 price = ticks, top, bottom = 1
    cdef int64_t tick = t.tick_1e8 if rest != 0 and t.tick_1e8 > 0 else 1
    if tick != 1:
        price = apex_mul2(ticks, tick) + rest
    if not apex_fits(price) or price <= 0:
        return True
    if apex_mul3(lots, t.value_num, rate, &top):
        return True
    if t.kind == INVERSE:
        bottom = apex_mul2(<int64_t> price, t.value_den)
        if apex_mul(top, tick, &top):
            return True
    else:
        bottom = tick
        if apex_mul(top, <int64_t> price, &top):
            return True
    out[0] = apex_ceil(top, bottom) if up else apex_floor(top, bottom)
    return False


cdef bint _settle(Position* p, const Terms* t, int side, int64_t lots, int128 amount) noexcept nogil:
    """Average cost: put `amount` of a fill into the open lots, or realise against them; True on overflow.

    A part of a sum is rounded against realised P&L; what is left keeps the remainder.
    """
    cdef bint opens = p.lots == 0 or (p.lots > 0) == (side == BUY)
    cdef int64_t held = p.lots if p.lots > 0 else -p.lots
    cdef int64_t closed = lots if lots < held else held
    cdef bint paid = _long_pays(p, t), receives = (side == SELL) != (t.kind == INVERSE)
    cdef int128 removed = p.cost, met = amount
    if opens:
        return _bump(&p.cost, amount)
    if closed < held:
        removed = apex_mul2(p.cost, closed)
        removed = apex_ceil(removed, held) if paid else apex_floor(removed, held)
    if closed < lots:
        met = apex_mul2(<int64_t> amount, closed)
        met = apex_floor(met, lots) if receives else apex_ceil(met, lots)
    p.cost = <int64_t> (p.cost - removed if closed == lots else amount - met)
    return _bump(&p.realised, met - removed if paid else removed - met)


cdef bint ledger_post(Position* p, const Terms* t, int side, int64_t ticks, int64_t lots, bint maker, int64_t mid2,
                      bint has_mid, int64_t* fee) noexcept nogil:
    """Post one fill to every account; True on overflow, and the position is then void."""
    cdef int128 unit = ledger_unit(t)
    cdef int128 quanta, gross, owed, exact, flow, paid, amount, gain, remainder
    cdef bint receives = (side == SELL) != (t.kind == INVERSE)
    if t.kind == INVERSE:
        if ledger_value(t, lots, ticks, 0, FEE_SCALE, not receives, &gross) or ledger_value(
                t, lots, ticks, 0, t.maker_fee if maker else t.taker_fee, True, &owed):
            return True
    elif apex_mul3(ticks, lots, t.value_num, &quanta) or apex_mul(quanta, FEE_SCALE, &gross) or apex_mul(
            quanta, t.maker_fee if maker else t.taker_fee, &owed):
        return True
    gross = gross if receives else -gross
    if apex_sub(gross, owed, &exact):
        return True
    flow, paid = apex_floor(exact, unit), apex_ceil(owed, unit)
    amount = flow + paid if receives else -flow - paid
    if not (apex_fits(flow) and apex_fits(paid) and apex_fits(amount)):
        return True
    if apex_mul(unit, <int64_t> flow, &remainder) or apex_sub(exact, remainder, &remainder):
        return True
    fee[0] = <int64_t> paid
    if (_settle(p, t, side, lots, amount) or _bump(&p.fees, paid) or _bump(&p.flows, flow + paid)
            or apex_add(p.turnover, amount, &p.turnover) or _bump(&p.lots, lots if side == BUY else -<int128> lots)
            or _bump(&p.bought_lots if side == BUY else &p.sold_lots, lots)
            or _bump(&p.venue_lots, lots if side == SELL else -<int128> lots)):
        return True
    if (apex_sub(p.venue_quote, gross, &p.venue_quote) or apex_add(p.venue_fees, owed, &p.venue_fees)
            or apex_add(p.rounding, remainder, &p.rounding)):
        return True
    if has_mid:
        gain = <int128> mid2 - 2 * <int128> ticks
        if apex_mul(gain if side == BUY else -gain, lots, &gain) or apex_mul(gain, t.value_num, &gain):
            return True
        remainder = 2 * <int128> t.value_den
        if t.kind == INVERSE and (mid2 <= 0 or apex_mul(apex_mul2(t.value_den, ticks), mid2, &remainder)):
            return True
        if _bump(&p.spread_captured, apex_floor(gain, remainder)):
            return True
    p.fills += 1
    p.maker_fills += maker
    return _cash(p, t)


cdef bint _cash(Position* p, const Terms* t) noexcept nogil:
    """Cash and variation from the sums; True on overflow."""
    cdef int128 paid = <int128> p.fees + p.charges[0] + p.charges[1]
    p.cash = p.variation = 0
    if t.kind == SPOT:
        return _bump(&p.cash, p.flows - paid)
    return _bump(&p.cash, p.realised - paid) or _bump(&p.variation, <int128> p.flows - p.realised)


cdef bint ledger_charge(Position* p, const Terms* t, int which, int64_t lots, int64_t ticks, int64_t rest, int64_t rate,
                        int64_t* paid) noexcept nogil:
    """Post a charge of a rate of the value of signed lots; True on overflow, and the position is then void."""
    cdef int128 owed, whole, remainder, unit = ledger_unit(t)
    if ledger_value(t, lots, ticks, rest, rate, True, &owed):
        return True
    whole = apex_ceil(owed, unit)
    if not apex_fits(whole) or apex_mul(unit, <int64_t> whole, &remainder) or apex_sub(remainder, owed, &remainder):
        return True
    paid[0] = <int64_t> whole
    p.charged += 1
    return (_bump(&p.charges[which], whole) or apex_add(p.venue_charges, owed, &p.venue_charges)
            or apex_add(p.rounding, remainder, &p.rounding) or _cash(p, t))


cdef int128 _mark(const Terms* t, int64_t mid2, int64_t lots) noexcept nogil:
    """Worth of signed lots at mid2 / 2 in cash units, rounded down; the end of the range when it does not fit."""
    cdef int128 quanta
    if t.kind == INVERSE:
        if mid2 <= 0:
            return 0
        return apex_saturate(apex_floor(2 * apex_mul2(lots, t.value_num), apex_mul2(mid2, t.value_den)))
    if apex_mul3(mid2, lots, t.value_num, &quanta):
        return LLONG_MAX if (mid2 > 0) == (lots > 0) else -LLONG_MAX
    return apex_saturate(apex_floor(quanta, 2 * <int128> t.value_den))


cdef object _wide(int128 a):
    return (int(apex_high(a)) << 64) + int(apex_low(a))


cdef class Ledger:
    """See Ledger in ledger.pyi."""

    def __cinit__(self, terms, cash=0):
        self.count = len(terms)
        self.terms = <Terms*> calloc(max(self.count, 1), sizeof(Terms))
        self.positions = <Position*> calloc(max(self.count, 1), sizeof(Position))
        if self.terms == NULL or self.positions == NULL:
            raise MemoryError("no memory for the ledger")

    def __dealloc__(self):
        free(self.terms)
        free(self.positions)

    def __init__(self, terms, cash=0):
        """See Ledger in ledger.pyi."""
        memset(self.positions, 0, self.count * sizeof(Position))
        self.cash_start, self.cash_total = cash, 0
        for i, given in enumerate(terms):
            read_terms(given, &self.terms[<int> i])

    cdef int64_t fill(self, int instrument, int side, int64_t ticks, int64_t lots, bint maker, int64_t mid2,
                      bint has_mid) except? -1:
        """Post a fill; its fee in cash units, > 0 paid. The ledger is unchanged when it raises."""
        cdef Position after
        cdef int64_t fee = 0, total = self.cash_total
        if instrument < 0 or instrument >= self.count:
            raise IndexError(f"instrument {instrument} is not in this ledger: it has {self.count}")
        if (side != BUY and side != SELL) or lots <= 0 or ticks <= 0:
            raise ValueError(f"no fill: side {side}, {lots} lots at {ticks} ticks")
        after = self.positions[instrument]
        if ledger_post(&after, &self.terms[instrument], side, ticks, lots, maker, mid2, has_mid, &fee) or _bump(
                &total, <int128> after.cash - self.positions[instrument].cash):
            raise OverflowError(f"a fill of {lots} lots at {ticks} ticks of instrument {instrument} overflows its account")
        self.positions[instrument] = after
        self.cash_total = total
        return fee

    cdef int64_t gross_pnl(self, int instrument, int64_t mid2) noexcept nogil:
        """P&L before fees with the open lots at mid2 / 2; the end of the range when it does not fit."""
        cdef const Position* p = &self.positions[instrument]
        if p.lots == 0:
            return p.flows
        if self.terms[instrument].kind == INVERSE:
            return p.realised if mid2 <= 0 else apex_saturate(p.flows + _mark(&self.terms[instrument], mid2, -p.lots))
        return apex_saturate(p.flows + _mark(&self.terms[instrument], mid2, p.lots))

    cdef int64_t net_pnl(self, int instrument, int64_t mid2) noexcept nogil:
        cdef const Position* p = &self.positions[instrument]
        return apex_saturate(<int128> self.gross_pnl(instrument, mid2) - p.fees - p.charges[0] - p.charges[1])

    cdef int64_t charge(self, int instrument, int which, int64_t lots, int64_t ticks, int64_t rest,
                        int64_t rate) except? -1:
        """Post a charge; its amount in cash units, > 0 paid. The ledger is unchanged when it raises."""
        cdef Position after
        cdef int64_t paid = 0, total = self.cash_total
        if instrument < 0 or instrument >= self.count:
            raise IndexError(f"instrument {instrument} is not in this ledger: it has {self.count}")
        if ticks <= 0 or which < 0 or which >= CHARGES:
            raise ValueError(f"no charge: kind {which} at {ticks} ticks")
        after = self.positions[instrument]
        if ledger_charge(&after, &self.terms[instrument], which, lots, ticks, rest, rate, &paid) or _bump(
                &total, <int128> after.cash - self.positions[instrument].cash):
            raise OverflowError(f"a charge on {lots} lots at {ticks} ticks of instrument {instrument} overflows its account")
        self.positions[instrument] = after
        self.cash_total = total
        return paid

    cdef int64_t unrealised(self, int instrument, int64_t mid2) noexcept nogil:
        return apex_saturate(<int128> self.gross_pnl(instrument, mid2) - self.positions[instrument].realised)

    cdef int64_t value(self, int instrument, int64_t mid2, int64_t lots) noexcept nogil:
        return <int64_t> _mark(&self.terms[instrument], mid2, lots)

    # ---- Python's face -------------------------------------------------------------------------------------------

    cdef int _index(self, int instrument) except -1:
        if instrument < 0 or instrument >= self.count:
            raise IndexError(f"instrument {instrument} is not in this ledger: it has {self.count}")
        return instrument

    def post(self, int instrument, int side, int64_t ticks, int64_t lots, bint maker=False, mid2=None):
        """Post a fill; see ledger.pyi."""
        return self.fill(instrument, side, ticks, lots, maker, 0 if mid2 is None else mid2, mid2 is not None)

    def pay(self, int instrument, which, int64_t lots, int64_t ticks, int64_t rest, int64_t rate):
        """Post a charge; see ledger.pyi."""
        return self.charge(instrument, ("funding", "liquidation").index(which), lots, ticks, rest, rate)

    def position(self, int instrument):
        """Signed lots held."""
        return self.positions[self._index(instrument)].lots

    def pnl(self, int instrument, int64_t mid2):
        """P&L of an instrument at a mid; see ledger.pyi."""
        cdef const Position* p = &self.positions[self._index(instrument)]
        gross = self.gross_pnl(instrument, mid2)
        return {
            "gross": gross, "fees": p.fees, "net": self.net_pnl(instrument, mid2), "realised": p.realised,
            "unrealised": self.unrealised(instrument, mid2), "spread_captured": p.spread_captured,
            "inventory": gross - p.spread_captured, "funding": p.charges[<int> FUNDING_CHARGE],
            "liquidation": p.charges[<int> LIQUIDATION_CHARGE],
        }

    def account(self, int instrument):
        """Every account of an instrument; see ledger.pyi."""
        cdef const Position* p = &self.positions[self._index(instrument)]
        return {
            "lots": p.lots, "cost": p.cost, "fees": p.fees, "realised": p.realised, "flows": p.flows, "cash": p.cash,
            "variation": p.variation, "spread_captured": p.spread_captured,
            "bought_lots": p.bought_lots, "sold_lots": p.sold_lots, "fills": p.fills, "maker_fills": p.maker_fills,
            "turnover": _wide(p.turnover), "venue_quote": _wide(p.venue_quote), "venue_fees": _wide(p.venue_fees),
            "rounding": _wide(p.rounding), "venue_lots": p.venue_lots, "venue_charges": _wide(p.venue_charges),
            "funding": p.charges[<int> FUNDING_CHARGE], "liquidation": p.charges[<int> LIQUIDATION_CHARGE],
        }

    def snapshot(self):
        """All accounts as integers, one row an instrument; see ledger.pyi."""
        table = np.zeros(self.count, SNAPSHOT_DTYPE)
        for i in range(self.count):
            account = self.account(i)
            for name in FIELDS:
                table[name][i] = account[name]
            for name in WIDE:
                table[f"{name}_high"][i] = account[name] >> 64
                low = account[name] & 0xFFFFFFFFFFFFFFFF
                table[f"{name}_low"][i] = low - (1 << 64) if low >> 63 else low
        return table

    def _check(self):
        """Walk every invariant; AssertionError names the first that does not hold."""
        cdef const Position* p
        cdef const Terms* t
        cdef int128 unit, total, cash = 0, paid
        cdef int i
        for i in range(self.count):
            p, t = &self.positions[i], &self.terms[i]
            unit = ledger_unit(t)
            total = (<int128> p.cash + p.variation) * unit + p.venue_quote + p.venue_fees + p.venue_charges + p.rounding
            paid = <int128> p.fees + p.charges[0] + p.charges[1]
            cash += p.cash
            held = p.lots if p.lots > 0 else -p.lots
            for holds, what in (
                (total == 0, "quote accounts sum to 0"),
                (<int128> p.lots + p.venue_lots == 0, "base accounts sum to 0"),
                (<int128> p.bought_lots - p.sold_lots == p.lots, "position is what was bought less what was sold"),
                (p.rounding >= 0 and p.rounding <= (p.fills + p.charged) * unit, "rounding took less than a unit a fill"),
                (p.cost >= 0 and (held or p.cost == 0), "no open lots, no cost"),
                (p.flows == p.realised + (-p.cost if _long_pays(p, t) else p.cost), "flows are realised or open"),
                (p.cash + p.variation == p.flows - paid, "cash and variation are flows less fees and charges"),
                (t.kind != SPOT or p.variation == 0, "spot has no variation"),
                (p.fees * unit >= p.venue_fees, "fees paid are not below fees owed"),
                (0 <= p.maker_fills <= p.fills, "maker fills are fills"),
            ):
                if not holds:
                    raise AssertionError(f"ledger of instrument {i}: not true that {what}: {self.account(i)}")
        if cash != self.cash_total:
            raise AssertionError(f"ledger: cash {self.cash_total} is not the sum of its instruments")
