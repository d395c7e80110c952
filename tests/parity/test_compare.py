"""The comparison itself: it must find what differs, or a run that says "equal" says nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apex._core.engine import STATES
from tests.parity.cases import Case, grid
from tools.parity.compare import by_id, changes_of, compare, import_npz, replay

Theirs = dict[str, Any]
SEED = 3


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A random market with partial fills, power-prob:2, constant latency."""
    return next(c for c in grid(tmp_path_factory.mktemp("parity"), SEED, 1_500, 100)
                if c.partial and c.queue == "power-prob:2" and c.latency is None)


@pytest.fixture(scope="module")
def mirrored(case: Case) -> Theirs:
    """What hftbacktest would have written had it done what ours does."""
    import_npz(case, Path(case.tape), case.npz)
    result = replay(case, Path(case.tape), Path(str(case.schedule)), Path())
    fills = by_id(result.fill_rows, lambda fill: result.file_ids[int(fill["id"])])
    changes, orders = [], []
    for row in result.order_rows:
        number, status = result.file_ids[int(row["id"])], STATES[int(row["state"])]
        for c in changes_of(row, fills.get(number, [])):
            changes.append([c.local_ns, number, c.status, row["ts_venue_ns"] if c.venue_ns is None else c.venue_ns,
                            c.ticks, c.maker, c.left_lots, c.last_lots])
        ticks = row["last_ticks"] if status == "filled" else row["price_ticks"]
        orders.append([number, status, row["ts_venue_ns"], ticks, row["last_lots"],
                       row["quantity_lots"] - row["filled_lots"]])
    state = {"position_lots": 0, "fee": 0.0, "fills": 0}
    found: Theirs = json.loads(json.dumps(
        {"changes": changes, "orders": orders, "state": state, "dropped": [], "cut": []}, default=int))
    return found


def differences(case: Case, theirs: Theirs) -> list[str]:
    (Path(case.folder) / "theirs.json").write_text(json.dumps(theirs), encoding="utf-8")
    return compare(case, Path()).differences


def test_equal_replays_are_equal(case: Case, mirrored: Theirs) -> None:
    """Lost otherwise: differences that are none, so that nobody believes the real ones."""
    assert differences(case, mirrored) == []
    statuses = {entry[1] for entry in mirrored["orders"]}
    assert statuses == {"filled", "canceled", "expired", "open"}


def _fill(theirs: Theirs) -> list[Any]:
    found: list[Any] = next(c for c in theirs["changes"] if c[2] == "filled" and c[5])
    return found


def _end(theirs: Theirs, status: str) -> list[Any]:
    found: list[Any] = next(c for c in theirs["changes"] if c[2] == status)
    return found


def _order(theirs: Theirs, status: str) -> list[Any]:
    found: list[Any] = next(entry for entry in theirs["orders"] if entry[1] == status)
    return found


def _add(entry: list[Any], place: int, amount: int = 1) -> None:
    entry[place] += amount


CHANGES: dict[str, Callable[[Theirs], object]] = {
    "a fill 1 ns later at the venue": lambda t: _add(_fill(t), 3),
    "a fill 1 ns later here": lambda t: _add(_fill(t), 0),
    "a fill a tick away": lambda t: _add(_fill(t), 4),
    "a taker instead of a maker": lambda t: _fill(t).__setitem__(5, False),
    "a chunk a lot larger": lambda t: _add(_fill(t), 7),
    "a lot left": lambda t: _add(_fill(t), 6),
    "a fill missing": lambda t: t["changes"].remove(_fill(t)),
    "a fill too many": lambda t: t["changes"].append(list(_fill(t))),
    "a cancel 1 ns later": lambda t: _add(_end(t, "canceled"), 3),
    "an expiry 1 ns later": lambda t: _add(_end(t, "expired"), 3),
    "an acknowledgement 1 ns later": lambda t: _add(_end(t, "open"), 0),
    "an expiry instead of a cancel": lambda t: _end(t, "canceled").__setitem__(2, "expired"),
    "a last state": lambda t: _order(t, "open").__setitem__(1, "canceled"),
    "a last time": lambda t: _add(_order(t, "filled"), 2),
    "a last price": lambda t: _add(_order(t, "filled"), 3),
    "a last chunk": lambda t: _add(_order(t, "filled"), 4),
    "a position": lambda t: _add(_order(t, "filled"), 5),
}


@pytest.mark.parametrize("planted", CHANGES)
def test_a_planted_difference_is_found(case: Case, mirrored: Theirs, planted: str) -> None:
    """Lost otherwise: fills that drift from hftbacktest while the run says equal."""
    theirs = copy.deepcopy(mirrored)
    CHANGES[planted](theirs)
    assert differences(case, theirs)
