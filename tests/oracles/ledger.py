"""A plain-Python ledger of one instrument, written apart from the compiled one: exact fractions, one fill at a time."""

from fractions import Fraction
from math import ceil, floor

BUY, SELL = 1, 2
RATE = 10**12
WORD = range(-(2**63), 2**63)
WIDE = range(-(2**127), 2**127)


class OracleLedger:
    """Accounts by their definition; `post` raises OverflowError when one of them leaves its range."""

    def __init__(self, num: int, den: int, kind: str, maker_fee: int, taker_fee: int) -> None:
        self.worth, self.kind, self.rates = Fraction(num, den), kind, {True: maker_fee, False: taker_fee}
        self.inverse, self.den = kind == "inverse", den
        self.num, self.unit = num, RATE if self.inverse else den * RATE
        self.charges = {"funding": 0, "liquidation": 0}
        self.due_charges = Fraction(0)
        self.bought = self.sold = self.fills = self.maker_fills = 0
        self.fees = self.flows = self.realised = self.cost = self.spread = self.turnover = 0
        self.due_value = self.due_fees = self.rounding = Fraction(0)
        self.lots = 0

    def post(self, side: int, ticks: int, lots: int, maker: bool, mid2: int | None) -> int:
        before = dict(self.__dict__)
        receives = (side == SELL) != self.inverse
        value = self.worth * ticks * lots
        owed = value * self.rates[maker] / RATE
        if self.inverse:                                  # lots over price, in 1e-12 of a unit, against us
            value = Fraction((floor if receives else ceil)(self.worth * lots * RATE / ticks), RATE)
            owed = Fraction(ceil(self.worth * lots * self.rates[maker] / ticks), RATE)
        due = (value if receives else -value) - owed
        moved, fee = floor(due), ceil(owed)
        booked = abs(moved + fee)
        self._average(side, lots, booked)
        self.flows += moved + fee
        self.fees += fee
        self.turnover += booked
        self.due_value += -value if receives else value
        self.due_fees += owed
        self.rounding += due - moved
        self.fills += 1
        self.maker_fills += maker
        if side == BUY:
            self.bought += lots
        else:
            self.sold += lots
        self.lots = self.bought - self.sold
        better = 0
        if mid2 is not None:
            better = (mid2 - 2 * ticks) * lots if side == BUY else (2 * ticks - mid2) * lots
            self.spread += floor(self.worth * better / (ticks * mid2 if self.inverse else 2))
        steps = []
        if self.inverse:                                  # what the division by the price begins with
            steps = [lots * self.num * r for r in (RATE, self.rates[maker])] + [self.den * ticks * (mid2 or 0)]
        wide = [x * self.unit for x in (value, owed, due, self.due_value, self.due_fees, self.rounding, moved)] + steps
        if any(x not in WORD for x in self.account().values()) or any(int(x) not in WIDE for x in wide) or (
                better * self.num not in WIDE) or any(x not in WORD for x in (moved, fee, booked)):
            self.__dict__.update(before)
            raise OverflowError
        return fee

    def _average(self, side: int, lots: int, booked: int) -> None:
        """Average cost: parts of a sum round against what is realised."""
        if self.lots * (1 if side == BUY else -1) >= 0:
            self.cost += booked
            return
        held, long = abs(self.lots), (self.lots > 0) != self.inverse
        worse, better = (ceil, floor) if long else (floor, ceil)
        if lots < held:
            share = worse(Fraction(self.cost * lots, held))
            self.realised += booked - share if long else share - booked
            self.cost -= share
        else:
            part = better(Fraction(booked * held, lots))
            self.realised += part - self.cost if long else self.cost - part
            self.cost = booked - part

    def pay(self, which: str, lots: int, price: Fraction, rate: int) -> int:
        """A charge of a rate (1e-12) of the value of signed lots at a price in ticks."""
        value = self.worth * lots / price if self.inverse else self.worth * lots * price
        owed = Fraction(ceil(value * rate * self.unit / RATE), self.unit)
        paid = ceil(owed)
        self.charges[which] += paid
        self.due_charges += owed
        self.rounding += paid - owed
        return paid

    def account(self) -> dict[str, int]:
        """What the compiled ledger names so, of 64 bits."""
        spot = self.kind == "spot"
        cash = (self.flows if spot else self.realised) - self.fees - sum(self.charges.values())
        return {
            "lots": self.lots, "cost": self.cost, "fees": self.fees, "realised": self.realised, "flows": self.flows,
            "cash": cash, "variation": 0 if spot else self.flows - self.realised, "spread_captured": self.spread,
            "bought_lots": self.bought, "sold_lots": self.sold, "fills": self.fills,
            "maker_fills": self.maker_fills, "venue_lots": -self.lots, **self.charges,
        }

    def wide(self) -> dict[str, Fraction | int]:
        """What the compiled ledger keeps in 128 bits."""
        named = {"venue_quote": self.due_value, "venue_fees": self.due_fees, "rounding": self.rounding}
        named["venue_charges"] = self.due_charges
        return {k: x * self.unit for k, x in named.items()} | {"turnover": self.turnover}

    def gross(self, mid2: int) -> int:
        if self.inverse:
            return self.flows + floor(-self.worth * self.lots * 2 / mid2) if self.lots else self.flows
        return self.flows + floor(self.worth * self.lots * mid2 / 2)
