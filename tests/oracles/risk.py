"""A plain-Python risk gate, written apart from the compiled one: every rule as its sentence says it, nothing clever."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

PLACE, CANCEL, AMEND = 1, 2, 3
BUY, SELL = 1, 2
LIMIT, MARKET, STOP, STOP_LIMIT, TRAILING = range(5)
NO_BID, NO_ASK = -(2**62), 2**62
SIZE, MONEY = 2**60, 2**62
WIDE = range(-(2**127), 2**127)
ALLOWED = "allowed"


class OracleGate:
    """Reasons of a command by its facts; what was sent is a list that is searched from end to end."""

    def __init__(self, limits: list[dict[str, int]], terms: list[dict[str, Any]], scripted: bool = False) -> None:
        self.limits, self.terms, self.scripted = limits, terms, scripted
        self.state, self.refuses = "ACTIVE", False
        self.messages: list[int] = []
        self.orders: list[tuple[int, tuple[int, ...]]] = []
        self.counts: dict[str, int] = {}
        self.request_counts: dict[str, int] = {}

    def submit(self, c: dict[str, int], f: dict[str, int]) -> str:
        counts = self.counts if c["kind"] == PLACE else self.request_counts
        if c["instrument"] >= len(self.limits):
            found = ["malformed"]
        elif c["kind"] == CANCEL:
            found = [] if c["order_id"] else ["malformed"]
        else:
            found = list(self._reasons(c, f))
        unknown = c["instrument"] >= len(self.limits)
        if not self.scripted or unknown:
            found = found[:1]
        for reason in found:
            counts[reason] = counts.get(reason, 0) + 1
        if found and (not self.scripted or unknown):
            return found[0]
        if self.refuses:
            counts["gateway-refused"] = counts.get("gateway-refused", 0) + 1
            return "gateway-refused"
        self.messages.append(f["now_ns"])
        if c["kind"] != CANCEL:
            self.orders.append((f["now_ns"], self._shape(c)))
        return ALLOWED

    def _shape(self, c: dict[str, int]) -> tuple[int, ...]:
        names = ("instrument", "kind", "side", "type", "tif", "price_ticks", "quantity_lots", "flags", "extra")
        return (*(c[k] for k in names), c["order_id"] if c["kind"] == AMEND else 0)

    def _reasons(self, c: dict[str, int], f: dict[str, int]) -> Iterator[str]:
        """Every reason against an order or an amendment, in the table's order."""
        m = self.limits[c["instrument"]]
        terms = self.terms[c["instrument"]]
        worth = Fraction(terms["value_num"], terms["value_den"])
        buy, market, lots = c["side"] == BUY, c["type"] == MARKET, c["quantity_lots"]
        bid = f["bid_ticks"] if f["bid_ticks"] > NO_BID else None
        ask = f["ask_ticks"] if f["ask_ticks"] < NO_ASK else None
        mid = Fraction(bid + ask, 2) if bid is not None and ask is not None else None
        added = lots - f["amended_lots"] if c["kind"] == AMEND else lots
        position = f["position_lots"]
        if buy:
            reduces = position < 0 and position + f["open_buy_lots"] + added <= 0
        else:
            reduces = position > 0 and position - f["open_sell_lots"] - added >= 0
        only = c["flags"] % 2 == 1
        reduces = reduces or (only and (position < 0 if buy else position > 0))
        price = c["price_ticks"] if not market else ask if buy else bid
        sells = c["side"] == SELL and price is not None and bid is not None and ask is not None
        careful = max(price, bid) if sells else price

        if self._impossible(f):
            yield "facts-unknown"
        if self.state == "HALTED":
            yield "halted"
        if self._malformed(c):
            yield "malformed"
        if self.state != "ACTIVE" and not reduces:
            yield "reducing-only"
        if not f["book_synced"]:
            yield "book-unsynced"
        if not 0 <= f["now_ns"] - f["book_ts_ns"] <= m["book_age_max_ns"]:
            yield "book-stale"
        if mid is None or mid <= 0:
            yield "no-mid"
        if f["bid_ticks"] > f["ask_ticks"]:
            yield "book-crossed"
        if price is None or mid is None or mid <= 0:
            yield "no-mid"
        elif abs(price - mid) / mid > Fraction(m["price_collar"], 10**12):
            yield "price-collar"
        if lots > Fraction(m["fat_finger_multiple"], 10**6) * max(f["touch_bid_lots"], f["touch_ask_lots"]):
            yield "fat-finger"
        if careful is None:
            yield "no-mid"
        elif careful * lots * terms["value_num"] not in WIDE:
            yield "overflow"
        elif careful * lots * worth > m["order_value_max"]:
            yield "order-value"
        if lots > m["order_quantity_max"]:
            yield "order-quantity"
        there = position + f["open_buy_lots"] if buy else f["open_sell_lots"] - position
        if added > 0 and not only and there + added > m["position_max"]:
            yield "position"
        if added > 0 and not reduces:
            if careful is None:
                yield "no-mid"
            elif any(x not in WIDE for x in (careful * added * terms["value_num"],
                                             f["gross_notional"] * terms["value_den"]
                                             + careful * added * terms["value_num"])):
                yield "overflow"
            elif f["gross_notional"] + careful * added * worth > m["gross_notional_max"]:
                yield "gross-notional"
        if c["kind"] != AMEND and f["open_orders"] >= m["open_orders_max"]:
            yield "open-orders"
        yield from self._windows(c, f["now_ns"], m)
        if price is None:
            yield "no-mid"
        elif c["type"] in (LIMIT, MARKET) and self._meets_own(c, f, price, buy, market):
            yield "self-trade"
        if not reduces and f["equity_day_start"] - f["equity_now"] > m["daily_loss_max"]:
            yield "daily-loss"
        if not reduces and f["equity_peak"] - f["equity_now"] > m["drawdown_max"]:
            yield "drawdown"

    def _windows(self, c: dict[str, int], now: int, m: dict[str, int]) -> Iterator[str]:
        """Searched backwards, since times never fall; the last entries beyond the windows end the search."""
        recent = 0
        for t in reversed(self.messages):
            if now - t >= 10**9:
                break
            recent += 1
        if recent >= m["messages_per_second_max"]:
            yield "message-rate"
        for t, shape in reversed(self.orders):
            if now - t >= m["duplicate_window_ns"]:
                break
            if shape == self._shape(c) and c["flags"] % 2 == 0:
                yield "duplicate"
                break

    def _meets_own(self, c: dict[str, int], f: dict[str, int], price: int, buy: bool, market: bool) -> bool:
        own = f["own_best_ask_ticks"] if buy else f["own_best_bid_ticks"]
        if own >= NO_ASK if buy else own <= NO_BID:
            return False
        if price >= own if buy else price <= own:
            return True
        return market and c["quantity_lots"] > (f["touch_ask_lots"] if buy else f["touch_bid_lots"])

    def _impossible(self, f: dict[str, int]) -> bool:
        return (
            not f["facts_known"] or f["now_ns"] <= 0 or abs(f["position_lots"]) > SIZE
            or not 0 <= f["open_buy_lots"] <= SIZE or not 0 <= f["open_sell_lots"] <= SIZE
            or f["open_orders"] < 0 or f["amended_lots"] < 0 or not 0 <= f["gross_notional"] <= MONEY
            or any(abs(f[k]) > MONEY for k in ("equity_now", "equity_peak", "equity_day_start"))
        )

    def _malformed(self, c: dict[str, int]) -> bool:
        return (
            c["kind"] not in (PLACE, AMEND) or c["side"] not in (BUY, SELL) or c["type"] not in range(5)
            or c["tif"] > 3 or not c["order_id"] or not 0 < c["quantity_lots"] <= SIZE
            or (c["type"] != MARKET and not 0 < c["price_ticks"] <= SIZE)
            or c["flags"] > 3 or not (c["type"] in (STOP_LIMIT, TRAILING)) <= c["extra"] <= SIZE
        )
