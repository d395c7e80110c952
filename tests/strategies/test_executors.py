"""Executors on generated and recorded markets: what they trade, and what it cost."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import apex
from apex._core.events import FLAGS, KINDS
from apex.app.generate_command import find, generate_scenario
from apex.app.replay import ReplayResult
from apex.importers.binance import import_binance
from apex.research import screen
from apex.research.tca import PARTS
from apex.research.volume import profile, traded, trades
from apex.store.tape import Tape
from apex.strategies.maker import Maker
from apex.strategies.twap import Twap
from apex.strategies.vwap import Vwap
from tests.core.assembly import BUY, SELL, START, Run, message, snapshot
from tests.oracles.tca import shortfall
from tests.store import markets as market

MS = 10**6
FEES = {"maker_fee": "0.0002", "taker_fee": "0.0005", "order_latency": "5ms", "response_latency": "5ms"}
EXECUTORS = {"twap": Twap, "vwap": Vwap}
PARAMS = {"duration_s": 60, "slices": 20, "quantity_lots": 2000}


def costs_of(result: ReplayResult) -> dict[str, Any]:
    """The only entry of the analysis."""
    (entry,) = result.document["tca"]
    found: dict[str, Any] = entry
    return found


def conserved(result: ReplayResult, entry: dict[str, Any]) -> None:
    """Fills, position and account say what the analysis says."""
    sign = 1 if entry["side"] == "buy" else -1
    assert sum((Decimal(entry[name]) for name in PARTS), Decimal(0)) == Decimal(entry["shortfall"])
    assert entry["bps"]["shortfall"] == pytest.approx(sum(entry["bps"][name] for name in PARTS), abs=1e-9)
    filled, wanted = Decimal(entry["filled"]), Decimal(entry["quantity"])
    assert 0 <= filled <= wanted
    (position,) = result.summary["position"].values()
    assert Decimal(position) == sign * filled
    assert entry["fees"] == result.summary["fees"]
    start, end = Decimal(entry["arrival_mid"]), Decimal(entry["final_mid"])
    mid2 = int(result.mark_rows[-1, 0]["mid2"])
    last = Decimal(mid2) * Decimal(result.instruments[0].tick) / 2
    paper = sign * wanted * (end - start)
    real = Decimal(result.summary["net_pnl"]) - sign * filled * (last - end)
    assert paper - real == Decimal(entry["shortfall"])


@pytest.mark.parametrize("passive", [False, True])
@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("kind", EXECUTORS)
def test_costs_are_the_oracles(kind: str, side: str, passive: bool, tapes: Callable[..., Path]) -> None:
    """Lost otherwise: parts that add up and are still the wrong parts: quotes of another moment, or a sign."""
    path = tapes()
    result = apex.replay(path, EXECUTORS[kind], params={**PARAMS, "side": side, "passive": passive}, **FEES)
    entry = costs_of(result)
    conserved(result, entry)
    assert entry["filled"] == entry["quantity"]
    with Tape.open(path) as tape:
        right = shortfall(result, tape, entry, result.summary["feed_shift_ns"])
        assert {name: Decimal(entry[name]) for name in right} == right
        start, end = (entry[at] - result.summary["feed_shift_ns"] for at in ("start_ts", "end_ts"))
        events = tape.events()
    ts = events["ts_local_ns"]
    part = events[(events["kind"] == KINDS["TRADE"]) & (ts >= start) & (ts < end)]
    lots, ticks = part["quantity_lots"].astype(object), part["price_ticks"].astype(object)
    assert Decimal(entry["market_quantity"]) == sum(lots) * Decimal("0.001")
    assert float(entry["market_vwap"]) == pytest.approx(float((lots * ticks).sum()) / float(lots.sum()) / 10, rel=1e-12)
    assert entry["participation"] == pytest.approx(float(entry["filled"]) / float(entry["market_quantity"]))


@pytest.mark.recordings
@pytest.mark.parametrize("passive", [False, True])
def test_costs_on_a_recording(passive: bool, data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost otherwise: the market's volume read at unshifted times, where a recorder's clock is behind the venue's."""
    path = tmp_path / "btc.tape"
    import_binance([data_file("ticks/binance/usdm_btcusdt_20240718.gz")], path)
    params = {**PARAMS, "passive": passive, "side": "sell", "quantity_lots": 500}
    result = apex.replay(path, Twap, params=params, **FEES)
    entry, shift = costs_of(result), result.summary["feed_shift_ns"]
    conserved(result, entry)
    with Tape.open(path) as tape:
        right = shortfall(result, tape, entry, shift)
        assert {name: Decimal(entry[name]) for name in right} == right
        lots, value = traded(tape, 0, entry["start_ts"] - shift, entry["end_ts"] - shift)
    assert shift > 10**9
    assert entry["market_quantity"] == result.instruments[0].quantity(lots)
    assert float(entry["market_vwap"]) == pytest.approx(value / lots / 10, rel=1e-12)


def worked(params: dict[str, Any], *messages: Any) -> tuple[Twap, Any]:
    """An executor over ten seconds in a book of 50 lots at 1000 and 1001, and what comes after."""
    book = snapshot(START, [(1000, 50), (999, 50)], [(1001, 50), (1002, 50)])
    rows = [book, *messages, message("BOOK_LEVEL", START + 20_000 * MS, [(BUY, 1, 1)])]
    twap = Twap(Twap.Params(duration_s=10, **params))
    return twap, Run(np.concatenate(rows), [twap]).run()


def test_waiting_at_the_touch_by_hand() -> None:
    """Lost otherwise: a passive slice on the wrong side, or a part of one that is traded twice or not at all.

    Two slices of 10 lots. The first rests at 1000 behind 50; a sale of 56 fills 6 of it. At 5 s its rest is cancelled
    and the second slice is posted; at 10 s the 4 lots cross at 1001, and the second slice is cancelled, whose 10 lots
    cross at 15 s.
    """
    sale = message("TRADE", START + 2_000 * MS, [(SELL, 1000, 56)])
    twap, run = worked({"quantity_lots": 20, "slices": 2, "passive": True}, sale)
    columns = ("price_ticks", "quantity_lots", "filled_lots")
    sent = [((o["ts_sent_ns"] - START) // MS, *(o[name] for name in columns)) for o in run.orders]
    assert sent == [(0, 1000, 10, 6), (5_000, 1000, 10, 0), (10_000, 0, 4, 4), (15_000, 0, 10, 10)]
    (parent,) = twap.executions
    assert (parent.start_ns, parent.end_ns, parent.done_lots) == (START, START + 15_000 * MS, 20)
    assert set(parent.quotes.values()) == {(1000, 1001)}
    assert run.fills["price_ticks"].tolist() == [1000, 1001, 1001]


def test_the_end_is_the_last_fill() -> None:
    """Lost otherwise: an end that runs on after the order is done, with the market's volume and the final mid."""
    moved = message("BOOK_LEVEL", START + 8_000 * MS, [(SELL, 1001, 0), (BUY, 1000, 0)])
    twap, run = worked({"quantity_lots": 20, "slices": 2}, moved)
    (parent,) = twap.executions
    assert ((run.orders["ts_sent_ns"] - START) // MS).tolist() == [0, 5_000]
    assert (parent.end_ns, parent.final_mid2) == (START + 5_000 * MS, 2001)


def test_a_market_of_one_second(tmp_path: Path) -> None:
    """Lost otherwise: a trade at the edge of two stretches, counted in both."""
    rows = [market.message("TRADE", market.START + i, [(1, 1000 + i, 2, 0)]) for i in range(4)]
    rows.append(market.message("TRADE", market.START + 2, [(1, 7, 9, 0)], flags=market.BOTH | FLAGS["NOT_MARKET"]))
    market.write(tmp_path / "a.tape", market.joined(sorted(rows, key=lambda m: int(m["ts_local_ns"][0]))))
    with Tape.open(tmp_path / "a.tape") as tape:
        at = market.START
        assert traded(tape, 0, at + 1, at + 3) == (4, 2 * 1001 + 2 * 1002)
        assert traded(tape, 0) == (8, 2 * (4000 + 6))
        assert traded(tape, 1) == (0, 0)
        assert profile(tape, 0, at, at + 4, 2) == [4, 4]


def test_executions_are_trades(tmp_path: Path) -> None:
    """Lost otherwise: a market without volume, where a tape has single orders."""
    found = []
    for book in ("l2", "l3"):
        path = tmp_path / f"{book}.tape"
        generate_scenario(path, 3, 60_000, find("btc"), by_order=book == "l3")
        with Tape.open(path) as tape:
            rows = trades(tape, 0)
            found.append({int(ts): rows[rows["ts_local_ns"] == ts][["side", "price_ticks"]].tolist()
                          for ts in np.unique(rows["ts_local_ns"])})
            assert traded(tape, 0)[0] == int(rows["quantity_lots"].sum()) > 0
    both = found[0].keys() & found[1].keys()
    assert len(both) > 100
    for ts in both - {max(both)}:
        assert {side for side, _ in found[0][ts]} == {side for side, _ in found[1][ts]}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(EXECUTORS)), st.sampled_from(["buy", "sell"]), st.booleans(), st.integers(1, 4000),
    st.integers(1, 40), st.integers(1, 100), st.sampled_from(["0ms", "20ms", "700ms"]),
)  # fmt: skip
def test_nothing_is_traded_twice(tapes: Callable[..., Path], kind: str, side: str, passive: bool, lots: int,
                                 slices: int, duration: int, latency: str) -> None:
    """Lost otherwise: an executor that trades more than it was asked to, while cancellations are on their way."""
    params = {"side": side, "passive": passive, "quantity_lots": lots, "slices": slices, "duration_s": duration}
    if kind == "vwap":
        params["profile"] = "5,0,1,3"
    result = apex.replay(tapes(6, 20_000), EXECUTORS[kind], params=params, **{**FEES, "order_latency": latency})
    entry = costs_of(result)
    conserved(result, entry)
    sent = result.orders[result.orders["status"] != "denied"]
    assert entry["orders"] == len(sent)
    assert (sent["side"] == side).all()
    assert entry["end_ts"] >= entry["start_ts"]


def test_what_is_not_traded_is_an_opportunity(tapes: Callable[..., Path]) -> None:
    """Lost otherwise: an executor that looks cheap because it did not trade."""
    params = {**PARAMS, "quantity_lots": 10**9}  # beyond the gate's limits: nothing is sent
    entry = costs_of(apex.replay(tapes(), Twap, params=params, **FEES))
    assert (entry["filled"], entry["average_price"], entry["vwap_slippage_bps"]) == ("0", None, None)
    move = Decimal(entry["final_mid"]) - Decimal(entry["arrival_mid"])
    assert Decimal(entry["shortfall"]) == Decimal(entry["opportunity"]) == Decimal(entry["quantity"]) * move != 0


def test_costs_are_shown(tapes: Callable[..., Path], tmp_path: Path) -> None:
    """Lost otherwise: the analysis on the screen or the page differs from the JSON, or is missing there."""
    result = apex.replay(tapes(), Twap, params=PARAMS, out=tmp_path, **FEES)
    entry, shown = costs_of(result), screen.draw(result).plain.split("\n")
    block = shown[next(i for i, line in enumerate(shown) if line.startswith("Cost ")) :]
    for line, name in zip(block[1:7], (*PARTS, "shortfall"), strict=True):
        title, number, bps = line.split()[:3]
        assert title == name
        assert float(number.replace(",", "").replace("−", "-")) == pytest.approx(float(entry[name]), abs=0.01)
        assert float(bps.replace("−", "-")) == pytest.approx(entry["bps"][name], rel=0.01, abs=1e-6)
    page = (tmp_path / "report.html").read_text("utf-8")
    for name in (*PARTS, "shortfall"):
        assert f'data-key="/tca/0/{name}" data-value="&quot;{entry[name]}&quot;"' in page, name
    idle = apex.replay(tapes(), Maker, **FEES)
    assert "tca" not in idle.document
    assert not any(line.startswith("Cost ") for line in screen.draw(idle).plain.split("\n"))


@pytest.mark.recordings
def test_volume_is_the_recordings(data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost otherwise: a profile that counts liquidations, leaves out trades at the edges, or reads the wrong clock."""
    path = tmp_path / "spot.tape"
    import_binance([data_file("ticks/binance/spot_btcusdt_20230405.dat.gz")], path)
    with Tape.open(path) as tape:
        events = tape.events()
        rows = events[events["kind"] == KINDS["TRADE"]]
        assert len(trades(tape, 0)) == len(rows) == 3144
        first, last = int(events["ts_local_ns"][0]), int(events["ts_local_ns"].max()) + 1
        lots, value = traded(tape, 0, first, last)
        assert lots == int(rows["quantity_lots"].sum())
        assert value == sum(t * q for t, q in zip(rows["price_ticks"].tolist(), rows["quantity_lots"].tolist(),
                                                  strict=True))  # fmt: skip
        parts = profile(tape, 0, first, last, 7)
        edges = [first + -(-(last - first) * i // 7) for i in range(8)]
        counted = [int(rows["quantity_lots"][(rows["ts_local_ns"] >= a) & (rows["ts_local_ns"] < b)].sum())
                   for a, b in pairwise(edges)]  # fmt: skip
        assert parts == counted
        assert np.count_nonzero(parts) == 7
