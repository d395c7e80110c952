"""Implementation shortfall from the tables of a replay in decimals, with quotes read from the tape."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from apex.store.bbo import touches
from apex.store.tape import Tape


def shortfall(result: Any, tape: Tape, entry: dict[str, Any], shift: int) -> dict[str, Decimal]:
    """Parts and sum for the only parent order of a run, which sent all the orders of the run.

    The mids of the decision, of each order and of the end are the tape's at those times, not what the strategy kept.
    """
    orders = result.orders[result.orders["status"] != "denied"]
    times = [entry["start_ts"], entry["end_ts"], *orders["ts_local"].tolist()]
    found = touches(tape, 0, [int(t) - shift for t in times])
    tick, lot = Decimal(tape.instruments[0].tick), Decimal(tape.instruments[0].lot)
    bids, asks = [t.bid_ticks * tick for t in found], [t.ask_ticks * tick for t in found]
    mids = [(b + a) / 2 for b, a in zip(bids, asks, strict=True)]
    quotes = dict(zip(orders["id"].tolist(), zip(mids[2:], bids[2:], asks[2:], strict=True), strict=True))
    sign = 1 if entry["side"] == "buy" else -1
    parts = dict.fromkeys(("timing", "spread", "impact", "fees"), Decimal(0))
    done = earned = Decimal(0)
    for fill in result.fills.itertuples():
        quantity = round(fill.quantity / float(lot)) * lot
        price, (mid, bid, ask) = fill.price_ticks * tick, quotes[fill.id]
        half = (ask - bid) / 2 if not fill.maker else (bid - ask) / 2
        parts["timing"] += sign * quantity * (mid - mids[0])
        parts["spread"] += quantity * half
        parts["impact"] += quantity * (sign * (price - mid) - half)
        parts["fees"] += Decimal(str(round(fill.fee * 10**8))).scaleb(-8)
        done += quantity
        earned += sign * quantity * (mids[1] - price)
    wanted = Decimal(entry["quantity"])
    parts["opportunity"] = sign * (wanted - done) * (mids[1] - mids[0])
    parts["shortfall"] = sign * wanted * (mids[1] - mids[0]) - earned + parts["fees"]
    return parts
