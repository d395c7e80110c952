"""Our replays of the cases, and what differs from hftbacktest's.

hftbacktest shows the strategy's side of its orders: their state after all replies of one local time. So a taker that
sweeps several levels, or several chunks of one time, are seen there as a quantity executed and a last chunk. Ours are
brought to the same form: for each order the states at the times of its replies. What is executed, which the strategy's
side under-counts with partial fills, is taken from the quantities left, which the exchange's side sets.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import apex
from apex._core.engine import STATES
from apex._core.simvenue import VENUE_REASONS
from apex.app import cli
from apex.app.frames import write_orders_csv
from apex.domain.instrument import Instrument
from tests.parity.cases import Case

NO_PRICE = 1 << 60
"""hftbacktest's best of an empty side is 2^63 - 1 or -2^63; any price beyond this is one."""

FEE_ERROR = 1e-8
"""Our fees are rounded once a fill to 1e-8, against us; hftbacktest's are sums of doubles."""


class Change(NamedTuple):
    """State of an order after the replies of one time; None is not known."""

    local_ns: int | None
    status: str
    venue_ns: int | None
    ticks: int | None
    maker: bool | None
    left_lots: int
    last_lots: int

    def meets(self, other: Change) -> bool:
        """Equal in all that both know."""
        return all(a is None or b is None or a == b for a, b in zip(self, other, strict=True))


class Compared(msgspec.Struct):
    """What one case gave."""

    name: str
    rows: int = 0
    orders: int = 0
    fills: int = 0
    maker_fills: int = 0
    canceled: int = 0
    expired: int = 0
    dropped: int = 0
    cut: int = 0
    no_price: int = 0
    undercounted: int = 0
    differences: list[str] = []


def import_npz(case: Case, out: Path, npz: list[str]) -> None:
    """The tape of a case's arrays, by the command that people use."""
    convert(["hftbacktest", *npz, "--out", str(out), "--tick", case.tick, "--lot", case.lot, "--symbol", "PARITY",
             "--json"])


def convert(words: list[str]) -> None:
    """`apex import` with these words."""
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) as said:
        code = cli.main(["import", *words])
        said.seek(0)
        text = said.read()
    if code:
        raise RuntimeError(f"apex import {' '.join(words)}: exit {code}\n{text}")


def replay(case: Case, tape: Path, schedule: Path | None, limits: Path) -> Any:
    """Our replay of a case."""
    options: dict[str, Any] = {
        "fill_mode": "compat", "queue": case.queue, "partial_fills": case.partial, "maker_fee": case.maker_fee,
        "taker_fee": case.taker_fee, "order_latency": f"{case.order_latency}ns",
        "response_latency": f"{case.response_latency}ns", "latency": case.latency}
    if case.maker is None:
        return apex.replay(tape, orders=str(schedule), **options)
    from benchmarks.maker import Maker

    params = {"half_spread_ticks": case.maker.half_spread_ticks, "interval": f"{case.maker.interval_ns}ns"}
    return apex.replay(tape, Maker, params=params, limits=str(limits), **options)


def status_of(row: Any) -> str:
    """A state in hftbacktest's words: what is refused before the venue is expired too."""
    name = STATES[int(row["state"])]
    return "expired" if name == "rejected" else name


def cleared(row: Any) -> bool:
    """Whether it ended with its side of the venue's book: hftbacktest tells then that nothing is left of it."""
    return VENUE_REASONS[int(row["venue_reason"])] == "cleared"


def changes_of(row: Any, fills: list[Any]) -> list[Change]:
    """The states of one of our orders, a state a local time."""
    ordered, status, done = int(row["quantity_lots"]), status_of(row), int(row["ts_done_ns"])
    found: list[Change] = []
    filled = last = 0
    if not fills or int(fills[0]["ts_local_ns"]) > int(row["ts_ack_ns"]):
        ends = done == int(row["ts_ack_ns"]) and status in ("canceled", "expired")
        if row["ts_ack_ns"] and not ends:
            found.append(Change(int(row["ts_ack_ns"]), "open", None, None, None, ordered, 0))
    for i, fill in enumerate(fills):
        filled, last = filled + int(fill["quantity_lots"]), int(fill["quantity_lots"])
        if i + 1 < len(fills) and fills[i + 1]["ts_local_ns"] == fill["ts_local_ns"]:
            continue
        state = "filled" if filled == ordered else "open"
        found.append(Change(int(fill["ts_local_ns"]), state, int(fill["ts_venue_ns"]), int(fill["price_ticks"]),
                            bool(fill["maker"]), ordered - filled, last))
    if status in ("canceled", "expired"):
        left = 0 if cleared(row) else ordered - filled
        end = Change(done, status, int(row["ts_venue_ns"]), None, None, left, last)
        if found and found[-1].local_ns == done:
            found[-1] = end
        else:
            found.append(end)
    return found


def theirs_of(entry: list[Any]) -> Change:
    """A state of one of hftbacktest's orders."""
    local_ns, _, status, venue_ns, ticks, maker, left, last = entry
    traded = last > 0 and status in ("filled", "open")
    return Change(None if local_ns < 0 else local_ns, status, venue_ns, ticks if traded else None,
                  maker if traded else None, left, last)


def by_id(entries: Any, key: Any) -> dict[int, list[Any]]:
    grouped: dict[int, list[Any]] = {}
    for entry in entries:
        grouped.setdefault(int(key(entry)), []).append(entry)
    return grouped


def compare(case: Case, limits: Path) -> Compared:
    """Replay the case here and compare with what hftbacktest wrote."""
    theirs = json.loads((Path(case.folder) / "theirs.json").read_text(encoding="utf-8"))
    tape, schedule, npz = Path(case.tape), None if case.schedule is None else Path(case.schedule), case.npz
    if theirs["dropped"] or theirs["cut"]:
        schedule = Path(case.folder) / "cut.csv"
    if theirs["cut"]:
        tape, npz = Path(case.folder) / "cut.tape", [str(Path(case.folder) / "cut.npz")]
    if not tape.exists():
        import_npz(case, tape, npz)
    result = replay(case, tape, schedule, limits)
    fills = result.fill_rows
    out = Compared(case.name, rows=result.summary["events"], orders=len(result.order_rows), fills=len(fills),
                   maker_fills=int(fills["maker"].sum()), dropped=len(theirs["dropped"]), cut=len(theirs["cut"]))
    names = [STATES[int(state)] for state in result.order_rows["state"]]
    out.canceled, out.expired = names.count("canceled"), names.count("expired") + names.count("rejected")
    if case.maker is None:
        _schedules(case, result, theirs, out)
    else:
        _makers(result, theirs, out)
    _states(case, result, theirs["state"], out)
    return out


def _schedules(case: Case, result: Any, theirs: dict[str, Any], out: Compared) -> None:
    """Every reply to every order, their last states as orders.csv has them, and the position."""
    ids = {int(i): name for i, name in result.file_ids.items()}
    fills = by_id(result.fill_rows, lambda fill: ids[int(fill["id"])])
    rows = {ids[int(row["id"])]: row for row in result.order_rows}
    told = by_id(theirs["changes"], lambda entry: entry[1])
    lost: set[int] = set()
    position = 0
    for entry in theirs["orders"]:
        if entry[1] == "filled" and abs(entry[3]) > NO_PRICE:
            lost.add(entry[0])
            continue
        row = rows.get(entry[0])
        if row is None:
            out.differences.append(f"order {entry[0]}: theirs {entry[1]}, ours was never sent")
            continue
        position += 0 if cleared(row) else (int(row["quantity_lots"]) - entry[5]) * (1 if row["side"] == 1 else -1)
        ours, other = changes_of(row, fills.get(entry[0], [])), [theirs_of(t) for t in told.get(entry[0], [])]
        if len(ours) != len(other) or not all(a.meets(b) for a, b in zip(ours, other, strict=True)):
            out.differences.append(f"order {entry[0]}:\n  ours   {ours}\n  theirs {other}")
    for name in lost:
        if status_of(rows[name]) != "expired" or not rows[name]["type"]:
            out.differences.append(f"order {name}: filled at no price there, {status_of(rows[name])} here")
    out.no_price = len(lost)
    unlost = [entry[:5] for entry in theirs["orders"] if entry[0] not in lost]
    written = [row for row in _orders_csv(case, result) if int(row[0]) not in lost]
    lot = Instrument("PARITY", "hftbacktest", case.tick, case.lot)
    expected = [[str(i), status, str(ts), str(ticks), lot.quantity(last)] for i, status, ts, ticks, last in unlost]
    out.differences += [f"orders.csv: ours {a}, theirs {b}" for a, b in zip(written, expected, strict=True) if a != b]
    bought = result.fill_rows[result.fill_rows["side"] == 1]["quantity_lots"].sum()
    ours_lots = int(2 * bought - result.fill_rows["quantity_lots"].sum())
    if ours_lots != position or lot.quantity(position) != result.summary["position"]["PARITY"]:
        out.differences.append(f"position: ours {ours_lots} lots, {result.summary['position']}; theirs {position}")


def _orders_csv(case: Case, result: Any) -> list[list[str]]:
    path = Path(case.folder) / "orders.csv"
    write_orders_csv(result, result.schedule, path, strict=False)
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))[1:]


def _makers(result: Any, theirs: dict[str, Any], out: Compared) -> None:
    """Every order and cancel that the strategies sent, and how every order ended."""
    sent, ended = [], []
    for number, row in enumerate(result.order_rows, start=1):
        sent.append((int(row["ts_sent_ns"]), number, int(row["price_ticks"]), int(row["side"])))
        status = status_of(row)
        ended.append((number, status, int(row["ts_venue_ns"]),
                      int(row["last_ticks"] if status == "filled" else row["price_ticks"])))
    status_names = {1: "open", 2: "expired", 3: "filled", 4: "canceled"}
    log = theirs["log"]
    there_sent = [(ts, number, ticks, side) for what, number, ts, ticks, side in log if what == -2]
    there_ended = sorted((number, status_names[what], ts, ticks) for what, number, ts, ticks, _ in log if what > 0)
    out.differences += [f"sent: ours {a}, theirs {b}" for a, b in _paired(sent, there_sent) if a != b]
    out.differences += [f"ended: ours {a}, theirs {b}" for a, b in _paired(ended, there_ended) if a != b]
    if any(result.summary["denied_by"].values()):
        out.differences.append(f"the gate denied {result.summary['denied_by']}")


def _paired(ours: list[Any], theirs: list[Any]) -> list[tuple[Any, Any]]:
    """Both lists side by side, the shorter filled with None."""
    length = max(len(ours), len(theirs))
    return list(zip(ours + [None] * (length - len(ours)), theirs + [None] * (length - len(theirs)), strict=True))


def _states(case: Case, result: Any, state: dict[str, Any], out: Compared) -> None:
    """Position, fee and number of fills as the strategy's side counts them: right without partial fills."""
    position = result.summary["position"]["PARITY"]
    there = Instrument("PARITY", "hftbacktest", case.tick, case.lot).quantity(state["position_lots"])
    if out.no_price:
        return
    if case.partial:
        out.undercounted = int(position != there)
        return
    fee, fills = float(result.summary["fees"]), len(result.fill_rows)
    if position != there or fills != state["fills"]:
        out.differences.append(f"state: ours {position} in {fills} fills, theirs {there} in {state['fills']}")
    if abs(fee - state["fee"]) > FEE_ERROR * (fills + 1) + 1e-12 * abs(fee):
        out.differences.append(f"fees: ours {fee}, theirs {state['fee']}")
