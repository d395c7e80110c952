"""Why little or nothing happened, in plain sentences: what, how often, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from apex.research.text import counted, plural, words

if TYPE_CHECKING:
    import pandas as pd

OFTEN = 0.5
"""A share of refusals from which a run that did trade is remarked upon."""

# The first fragment that begins a word of a reason code names its remedy: a new code of a known family has one too.
_REMEDIES = (
    ("collar", "quote nearer to the mid, or raise `price_collar`"),
    ("fat_finger", "the order is far larger than usual: send less, or raise `fat_finger_multiple`"),
    ("order_value", "send smaller orders, or raise `order_value_max`"),
    ("order_quantity", "send smaller orders, or raise `order_quantity_max`"),
    ("position", "the position would exceed `position_max`: reduce first, or raise it"),
    ("gross", "all positions together would exceed `gross_notional_max`: reduce first, or raise it"),
    ("open_orders", "cancel resting orders before placing more, or raise `open_orders_max`"),
    ("rate", "send fewer messages, or raise `messages_per_second_max`"),
    ("duplicate", "the same intent came again within `duplicate_window`: keep the order, or shorten it"),
    ("self", "the order would trade with your own resting order: cancel that one first"),
    ("unsynced", "the book was out of sync (before a snapshot or after a gap): `apex tape verify` shows where"),
    ("sync", "the book was out of sync (before a snapshot or after a gap): `apex tape verify` shows where"),
    ("stale", "the book had not changed for `book_age_max`: raise it for a quiet market"),
    ("age", "the book had not changed for `book_age_max`: raise it for a quiet market"),
    ("daily_loss", "the day's loss reached `daily_loss_max`, and only reducing orders pass"),
    ("drawdown", "the drawdown reached `drawdown_max`, and only reducing orders pass"),
    ("halt", "trading was halted, by a limit or by an operator: the first denial says which"),
    ("reducing", "only orders that reduce the position pass in this state"),
    ("state", "the trading state did not allow new orders"),
    ("post_only", "post-only orders would have crossed when they arrived: quote further out, or lower the latency"),
    ("would_cross", "the order would have crossed when it arrived: quote further out, or lower the latency"),
    ("no_liquidity", "too little was on offer within the limit: raise the limit price, or send less"),
    ("unknown_order", "the order was gone when the request arrived: it had filled or been cancelled"),
    ("cancel", "the strategy withdrew them before their turn came: quote nearer, or leave them longer"),
    ("open", "they were still resting when the tape ended"),
    ("rest", "they were still resting when the tape ended"),
    ("end", "they were still resting when the tape ended"),
    ("price", "quote nearer to the mid"),
    ("no_intent", "the strategy was called and chose to send nothing"),
    ("cool", "the signal fired again within its cool-down"),
)


def remedy(reason: str) -> str:
    """What to do about a reason code; empty when nothing is known."""
    key = "_" + words(reason).replace(" ", "_")
    return next((advice for fragment, advice in _REMEDIES if "_" + fragment in key), "")


def _named(reasons: Mapping[str, int] | None, total: int, limit: int = 3) -> list[str]:
    """One sentence for each dominant reason, with its share and its remedy."""
    out = []
    for reason, count in counted(reasons)[:limit]:
        share = f" ({count / total:.0%})" if total >= count else ""
        advice = remedy(reason)
        out.append(f"{words(reason).capitalize()}: {count:,}{share}" + (f". What to do: {advice}." if advice else "."))
    return out


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _silent(summary: Mapping[str, Any]) -> list[str]:
    """No intent reached the gate at all."""
    where = f"in {plural(int(summary.get('events') or 0), 'event')}"
    calls = summary.get("calls")
    made = {name: n for name, n in (calls or {}).items() if n and name not in ("on_start", "on_stop")}
    if made:
        said = " and ".join(f"{name} was called {_times(n)}" for name, n in made.items())
        out = [f"No order was sent: {said} {where}, and asked for none."]
    elif calls is not None:
        out = [f"No order was sent: no hook of the strategy was called {where}."]
        return [*out, 'What to do: ask to be called in on_start, for example with view.every("100ms").']
    else:
        out = [f"No order was sent {where}."]
    reasons = _named(summary.get("blocked_by"), int(summary.get("signals") or 0))
    advice = "What to do: check the strategy's own conditions against the tape (`apex tape bbo TAPE --at TS`)."
    return out + (reasons or [advice])


def diagnosis(summary: Mapping[str, Any], orders: pd.DataFrame | None = None) -> list[str]:
    """Plain sentences on a run without trades, or one most of whose signals or orders came to nothing.

    Parameters
    ----------
    summary : mapping
        The summary of a replay: orders, fills, signals, blocked, denied_by, unfilled_by, blocked_by;
        `calls` (hook -> count) is used when present.
    orders : DataFrame, optional
        The orders, for how many were filled.

    Returns
    -------
    list of str
        Empty when there is nothing to explain.
    """
    sent, fills = int(summary.get("orders") or 0), int(summary.get("fills") or 0)
    signals, blocked = int(summary.get("signals") or 0), int(summary.get("blocked") or 0)
    if not sent:
        if not blocked:
            return _silent(summary)
        reasons = summary.get("blocked_by") or summary.get("denied_by")
        head = f"0 trades: {plural(signals, 'signal')}, {blocked:,} blocked, no order sent."
        return [head, *_named(reasons, blocked)]
    if not fills:
        unfilled = int(summary.get("unfilled") or sent)
        head = f"0 trades: {plural(sent, 'order')} sent, none filled."
        out = [head, *_named(summary.get("unfilled_by"), unfilled)]
        if blocked:
            out.append(f"{plural(blocked, 'more signal')} made no order: {_list(summary.get('blocked_by'))}.")
        return out
    out = []
    if signals and blocked / signals >= OFTEN:
        out.append(f"{blocked / signals:.0%} of {plural(signals, 'signal')} made no order.")
        out += _named(summary.get("blocked_by"), blocked, limit=2)
    if orders is not None and len(orders):
        empty = int((orders["status"].to_numpy() == "expired").sum())
        if empty / len(orders) >= OFTEN:
            out.append(f"{empty / len(orders):.0%} of {plural(len(orders), 'order')} expired unfilled.")
            out += _named(summary.get("unfilled_by"), int(summary.get("unfilled") or empty), limit=2)
    return out


def _list(reasons: Mapping[str, int] | None) -> str:
    return ", ".join(f"{words(name)} {count:,}" for name, count in counted(reasons)[:4]) or "reasons unknown"
