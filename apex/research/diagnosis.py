"""Why little or nothing happened, in plain sentences: what, how often, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from apex.research.text import counted, plural, words

if TYPE_CHECKING:
    import pandas as pd

OFTEN = 0.5
"""A share of refusals from which a run that did trade is remarked upon."""

REMEDIES = {
    # of the risk gate
    "facts-unknown": "the book had shown no mid yet: wait for one",
    "halted": "trading was halted: see which limit came first",
    "malformed": "price or quantity below 1, or far too large",
    "reducing-only": "only orders that reduce the position passed",
    "book-unsynced": "the book was out of sync: see `apex tape verify`",
    "book-stale": "the feed was quiet: raise `book_age_max`",
    "no-mid": "one side of the book was empty: wait for both",
    "book-crossed": "bid above ask: see `apex tape verify`",
    "price-collar": "quote nearer to the mid, or raise `price_collar`",
    "fat-finger": "send less, or raise `fat_finger_multiple`",
    "order-value": "send less, or raise `order_value_max`",
    "order-quantity": "send less, or raise `order_quantity_max`",
    "position": "reduce first, or raise `position_max`",
    "gross-notional": "reduce first, or raise `gross_notional_max`",
    "open-orders": "cancel some first, or raise `open_orders_max`",
    "message-rate": "send less often, or raise `messages_per_second_max`",
    "duplicate": "keep the first, or shorten `duplicate_window`",
    "self-trade": "cancel your own order on the other side first",
    "daily-loss": "`daily_loss_max` was reached: only reducing passes",
    "drawdown": "`drawdown_max` was reached: only reducing passes",
    "overflow": "price times quantity is too large to count with",
    "gateway-refused": "the venue took no more orders: cancel some first",
    # of the venue
    "post-only-would-cross": "quote further out, or lower the latency",
    "no-liquidity": "price it deeper into the book, or send less",
    "unknown-order": "it was gone on arrival: filled or cancelled before",
    "rejected-before-venue": "the latency file says so: its request was lost",
    "venue-unsynced": "the venue's book was out of sync on arrival",
    "venue-full": "too many orders rest at once: cancel some",
    "canceled": "withdrawn before their turn: quote nearer, or wait",
    "cleared": "the venue cleared its book",
    "stop-reached": "the price was there already: stop further away",
    "nothing-to-reduce": "reduce-only, and there was nothing to close",
    "not-in-compat": "hftbacktest has no such order: use strict",
    "no-mark-price": "the tape had no mark price yet: stop by trades",
    "venue-halted": "the venue matched nothing then: wait, or queue",
    "liquidated": "too little margin: hold less, or bring more cash",
    # of the run
    "resting-at-end": "still resting when the tape ended",
    "in-flight": "not yet answered when the tape ended",
    "no-order-made": "the hook was called and chose to send nothing",
    "cooldown": "the signal came again within its cool-down",
}
"""What to do about each reason code, `_` written as `-`; at most 50 characters, so that it fits its line."""


def remedy(reason: str) -> str:
    """What to do about a reason code; empty when nothing is known.

    >>> remedy("post_only_would_cross")
    'quote further out, or lower the latency'
    """
    return REMEDIES.get(reason.replace("_", "-"), "")


def diagnosis(
    summary: Mapping[str, Any], orders: pd.DataFrame | None = None, equity: pd.DataFrame | None = None
) -> list[str]:
    """Plain sentences on a run without trades, or one most of whose signals or orders came to nothing.

    Parameters
    ----------
    summary : mapping
        The summary of a replay.
    orders : DataFrame, optional
        The orders, for how many were filled.
    equity : DataFrame, optional
        The grid, for whether there ever was a mid.

    Returns
    -------
    list of str
        Empty when there is nothing to explain.
    """
    sent, fills = int(summary.get("orders") or 0), int(summary.get("fills") or 0)
    signals, blocked = int(summary.get("signals") or 0), int(summary.get("blocked") or 0)
    if not sent and not blocked:
        return _silent(summary, equity)
    if not sent:
        head = f"0 trades: {plural(signals, 'signal')}, {blocked:,} blocked, no order sent."
        return [head, *_named(summary.get("blocked_by"), blocked)]
    if not fills:
        head = f"0 trades: {plural(sent, 'order')} sent, none filled."
        out = [head, *_named(summary.get("unfilled_by"), int(summary.get("unfilled") or sent))]
        if blocked:
            out.append(f"{plural(blocked, 'more signal')} made no order: {_listed(summary.get('blocked_by'))}.")
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


def _silent(summary: Mapping[str, Any], equity: pd.DataFrame | None) -> list[str]:
    """No intent reached the gate at all."""
    where = f"in {plural(int(summary.get('events') or 0), 'event')}"
    if summary.get("strategy") is None:
        return ["No strategy was given, so no order was sent.", "What to do: add `--strategy module:Class`."]
    mids = [] if equity is None else [name for name in equity.columns if name.startswith("mid:")]
    if equity is not None and mids and not equity[mids].notna().any(axis=None):
        return [f"No order was sent: no book had both sides {where}, and a strategy's timers wait for one.",
                "What to do: see `apex tape verify` for a missing snapshot, or a gap that nothing closed."]  # fmt: skip
    calls = int(summary.get("strategy_calls") or 0)
    if calls:
        times = "once" if calls == 1 else f"{calls:,} times"
        return [f"No order was sent: the strategy was called {times} {where}, and asked for none.",
                "What to do: check its own conditions against the tape (`apex tape bbo TAPE --at TS`)."]  # fmt: skip
    return [f"No order was sent: the strategy was never called {where}.",
            'What to do: ask to be called in on_start, for example with `view.every("100ms")`.']  # fmt: skip


def _named(reasons: Mapping[str, int] | None, total: int, limit: int = 3) -> list[str]:
    """One sentence for each dominant reason, with its share and its remedy."""
    out = []
    for reason, count in counted(reasons)[:limit]:
        share = f" ({count / total:.0%})" if total >= count else ""
        advice = remedy(reason)
        out.append(f"{words(reason).capitalize()}: {count:,}{share}" + (f"; {advice}." if advice else "."))
    return out


def _listed(reasons: Mapping[str, int] | None) -> str:
    return ", ".join(f"{words(name)} {count:,}" for name, count in counted(reasons)[:4]) or "reasons unknown"
