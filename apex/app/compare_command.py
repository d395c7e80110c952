"""`apex compare`: what differs between two replays, and what it cost."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from apex.app.console import Outcome, stamp, table
from apex.research import text
from apex.research.compare import PARTS, compare
from apex.research.lookup import SPLIT
from apex.research.runs import read_run

CAUSES = {
    "only_in_a": "orders only in A", "only_in_b": "orders only in B", "other_fills": "same orders, other fills",
    "same_fills": "same fills, other fees or closing mid", "rest": "rounding of fills",
}
SETTINGS_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("run_a", metavar="RUN_A", help="the --out folder of a replay")
    parser.add_argument("run_b", metavar="RUN_B", help="the --out folder of another")


def run(args: argparse.Namespace) -> Outcome:
    """Compare and say so: exit 0 when they are equal, 1 when they differ."""
    found = compare(read_run(args.run_a), read_run(args.run_b))
    value = {"run_a": args.run_a, "run_b": args.run_b, **found}
    return Outcome(value, lambda console: _show(console, value), 0 if found["equal"] else 1)


def verdict(found: Mapping[str, Any]) -> str:
    """The result in one sentence."""
    hashes, same = found["result_hash"], found["first_difference"] is None and found["first_answer"] is None
    orders, fills = found["orders"], found["fills"]
    if found["equal"]:
        return (f"Equal: {text.plural(orders['a'], 'order')}, {text.plural(fills['a'], 'fill')}, net P&L "
                f"{found['pnl']['a']['net_pnl']}, result hash {hashes['a'][:16]}.")
    if hashes["a"] == hashes["b"]:
        return "Different, though the result hashes are equal: one of the folders was changed after its run."
    if same:
        return "Different, though every order and every fill is the same: see the settings."
    return "Different."


def sentences(found: Mapping[str, Any]) -> list[str]:
    """The first differences in plain words."""
    out = []
    decision, answer = found["first_difference"], found["first_answer"]
    if decision is None:
        out.append("No order and no fill differs.")
    else:
        out.append(f"First difference, at {stamp(decision['ts'])}: {_both(decision, _decision)}")
    if answer is not None and (decision is None or answer["ts"] <= decision["ts"]):
        place = f"order {answer['a']['number'] + 1:,}"
        out.append(f"{'First' if decision is None else 'Before it'}, at {stamp(answer['ts'])}, the answer to {place} "
                   f"differs: {_both(answer, _answer)}")
    return out


def _both(difference: Mapping[str, Any], said: Any) -> str:
    a, b = difference["a"], difference["b"]
    if a is not None and b is not None and "ts_local" in difference["differs"]:
        later = "B" if a["ts_local"] < b["ts_local"] else "A"
        first, second = (a, b) if later == "B" else (b, a)
        other = "A" if later == "B" else "B"
        return f"{other} {said(first)}; the next of {later} is at {stamp(second['ts_local'])}: it {said(second)}."
    return "; ".join(f"{name} has no more" if row is None else f"{name} {said(row)}"
                     for name, row in (("A", a), ("B", b))) + "."


def order_words(row: Mapping[str, Any]) -> str:
    """An order in words: "buy 0.01 BTCUSDT at 61,800.1 (GTX)"."""
    price = "" if row["price"] is None else f" at {row['price']}"
    kind = row["tif"] if row["price"] is not None else "market"
    return f"{row['side']} {row['quantity']} {row['instrument']}{price} ({kind})"


def _decision(row: Mapping[str, Any]) -> str:
    if "maker" in row:
        return (f"filled order {row['order'] + 1:,}, {row['side']} {row['quantity']} {row['instrument']} at "
                f"{row['price']} as {'maker' if row['maker'] else 'taker'}")
    denied = f", denied: {text.words(row['reason'])}" if row["status"] == "denied" else ""
    return f"sent order {row['number'] + 1:,}, {order_words(row)}{denied}"


def _answer(row: Mapping[str, Any]) -> str:
    if row["status"] == "denied":
        return f"denied it, {text.words(row['reason'])}"
    wait = row["ts_ack"] - row["ts_local"]
    after = "not at all" if not row["ts_ack"] else f"{text.duration(wait)} later" if wait else "at once"
    reason = "" if row["reason"] in ("", row["status"]) else f", {text.words(row['reason'])}"
    return (f"heard of it {after}, and {text.duration(row['ts_done'] - row['ts_local'])} after it was sent it stood at "
            f"{row['status']}{reason}, {row['filled']} filled")


def _setting(name: str, value: Any) -> str:
    return text.limit(name.removeprefix("limits."), value) if name.startswith("limits.") else str(value)


def _show(console: Any, value: Mapping[str, Any]) -> None:
    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    say(f"A: {value['run_a']}\nB: {value['run_b']}\n\n{verdict(value)}")
    for line in [] if value["equal"] else sentences(value):
        say(line)
    if value["settings"]:
        rows = [(entry["name"], *(_setting(entry["name"], entry[run]) for run in ("a", "b")))
                for entry in value["settings"][:SETTINGS_SHOWN]]
        console.print()
        console.print(table("Settings that differ", ("setting", "A", "B"), rows))
    if value["equal"]:
        return
    orders, fills, pnl = value["orders"], value["fills"], value["pnl"]
    say(f"\nOrders: {orders['a']:,} in A, {orders['b']:,} in B; {orders['same']:,} the same, of which "
        f"{orders['other_fills']:,} with other fills; {orders['only_in_a']:,} only in A, {orders['only_in_b']:,} only "
        f"in B. Fills: {fills['a']:,} and {fills['b']:,}.\n")
    places = text.places_of([pnl[side][name] for side in ("a", "b") for name in SPLIT])
    console.print(table("P&L", ("", "A", "B", "B - A"), [
        (text.words(name).replace("pnl", "P&L"), *(text.amount(pnl[side][name], places) for side in ("a", "b", "gap")))
        for name in SPLIT]))
    causes = value["gap_by_cause"]
    shown = [cause for cause in CAUSES if causes[cause]["orders"] or any(causes[cause][p] != "0" for p in PARTS)]
    if shown:
        console.print(table("The gap by cause, B - A", ("cause", "orders", "spread", "inventory", "fees", "net"), [
            (CAUSES[cause], causes[cause]["orders"], *(text.amount(causes[cause][part], places) for part in PARTS))
            for cause in shown]))
