"""`apex import`: the summary's keys and what people see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.commands import call
from tests.importers.recordings import MARKETS, frames, lines, write
from tests.importers.test_binance_rules import plainly

COUNTS = ("messages", "level_updates", "level_updates_applied", "trades", "book_tickers", "snapshots", "sequence_gaps",
          "crossed_books", "clock_defects", "checksums_right", "checksums_wrong", "mark_prices", "slow_path_messages",
          "ignored_messages")


VENUES = {"spot": "binance-spot", "usdm": "binance-usdm", "cm": "binance-coinm"}


@pytest.mark.parametrize(("market", "venue"), VENUES.items())
def test_the_summary_has_the_promised_keys(market: str, venue: str, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a key or a type that scripts read; the market found from the messages alone."""
    where, found = MARKETS[market], lines(frames(market, 4, 200), 4)
    done = call(capsys, "import", "binance", write(tmp_path / "r", found), "--out", tmp_path / "t", "--tick",
                where.tick, "--lot", f"{where.symbol}={where.lot}", "--json")
    value = done.value
    assert (done.code, done.err) == (0, "")
    assert set(value) == {*COUNTS, "synced", "feed_min_ns", "instruments", "content_hash"}
    assert all(type(value[name]) is int for name in COUNTS)
    assert type(value["synced"]) is bool
    plain = plainly(found, market)
    timed = [row[1] - row[0] for row in plain.rows if "NO_VENUE_TIME" not in row[6]]
    assert value["feed_min_ns"] == min(timed)
    assert value["clock_defects"] == sum(delay < 0 for delay in timed)
    assert value["instruments"] == [{"symbol": where.symbol, "venue": venue, "tick": where.tick, "lot": where.lot}]
    assert len(value["content_hash"]) == 64
    named = call(capsys, "import", "binance", tmp_path / "r", "--out", tmp_path / "t2", "--tick", where.tick, "--lot",
                 where.lot, "--market", market, "--json")
    assert named.value == value


def test_people_see_counts_and_defects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: that a recorder's clock was wrong, or that the book ended out of sync, told to people."""
    found = lines(frames("usdm", 4, 200), 4)
    done = call(capsys, "import", "binance", write(tmp_path / "r", found), "--out", tmp_path / "t.tape")
    assert (done.code, done.err) == (0, "")
    for words in ("BTCUSDT (binance-usdm), tick 0.1, lot 0.001", "sequence gaps", "in sync at the end", "clock defects",
                  "content hash"):
        assert words in done.out


def test_a_tape_without_times_of_the_venue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: null for a minimum that does not exist."""
    tickers = [frame for frame in frames("spot", 4, 60) if "bookTicker" in frame.get("stream", "")]
    done = call(capsys, "import", "binance", write(tmp_path / "r", lines(tickers)), "--out", tmp_path / "t", "--json")
    assert (done.value["feed_min_ns"], done.value["clock_defects"]) == (None, 0)
    assert call(capsys, "tape", "info", tmp_path / "t", "--json").value["feed_min_ns"] is None
