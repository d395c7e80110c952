"""hftbacktest 2.4.4 itself reads an exported array: its book is the tape's at every time looked at."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from apex._core.events import KINDS
from apex.importers.binance import import_binance
from apex.importers.cryptofeed import import_cryptofeed
from apex.store.bbo import touches
from apex.store.npz import export_npz, feed_shift
from apex.store.tape import Tape
from tests.store.markets import joined, market, write

pytestmark = pytest.mark.parity
ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-parity" / "bin" / "python"


@pytest.fixture(scope="module", autouse=True)
def environment() -> None:
    """hftbacktest's environment; without it there is nothing to compare with."""
    if not PYTHON.exists():
        pytest.skip("hftbacktest's environment is absent: make parity-short makes it")


class Job(NamedTuple):
    """One instrument of a tape, and local times to look at."""

    tape: Path
    number: int
    count: int = 400


def compare(jobs: list[Job], folder: Path) -> None:
    """Its best levels and ours at evenly spaced local times; one process, since it compiles first."""
    listed, times = [], []
    for at, job in enumerate(jobs):
        with Tape.open(job.tape) as tape:
            x, shift = tape.instruments[job.number], feed_shift(tape, job.number)
            export_npz(tape, folder / f"{at}.npz", job.number, shift)
            times.append(np.linspace(tape.header["first_ts"] + 1, tape.header["last_ts"], job.count).astype(np.int64))
        np.save(folder / f"{at}.npy", times[-1] + shift)
        listed.append({"array": str(folder / f"{at}.npz"), "tick": x.tick, "lot": x.lot,
                       "times": str(folder / f"{at}.npy"), "out": str(folder / f"{at}.out.npy")})
    (folder / "jobs.json").write_text(json.dumps(listed))
    script = ROOT / "tools" / "parity" / "top_of_book.py"
    subprocess.run([str(PYTHON), str(script), str(folder / "jobs.json")], check=True)
    for at, job in enumerate(jobs):
        theirs = np.load(folder / f"{at}.out.npy")
        assert len(theirs) >= 0.9 * job.count                # its data may end before the other instruments'
        with Tape.open(job.tape) as tape:
            lot = float(tape.instruments[job.number].lot)
            found = touches(tape, job.number, times[at][:len(theirs)].tolist())
        for row, touch in zip(theirs, found, strict=True):
            ours = (touch.bid_ticks or 0, (touch.bid_lots or 0) * lot,
                    touch.ask_ticks or 0, (touch.ask_lots or 0) * lot)
            assert row == pytest.approx(ours, rel=1e-12), (job, touch.ts)


def test_recordings_of_both_importers(data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost: an export that is well formed and means something else to the program it is for."""
    import_binance([data_file("ticks/binance/usdm_btcusdt_20240718.gz")], tmp_path / "usdm")
    jobs = [Job(tmp_path / "usdm", 0)]
    for name in ("BYBIT.jsonl.zst", "CRYPTO_COM.jsonl.gz", "KRAKEN_20210405.raw.gz"):
        import_cryptofeed([data_file(f"ticks/cryptofeed/{name}")], tmp_path / name)
        jobs += [Job(tmp_path / name, 0), Job(tmp_path / name, 2)]
    compare(jobs, tmp_path)


def test_gaps_and_clears(tmp_path: Path) -> None:
    """Lost: how a gap, after which a book is not known, comes to hftbacktest, which knows no gaps."""
    messages = [m for m in market(77, 1500) if (m["price_ticks"] <= 1000)[m["side"] == 1].all()
                and (m["price_ticks"] > 1000)[m["side"] == 2].all()]
    write(tmp_path / "t", joined(messages))
    with Tape.open(tmp_path / "t") as tape:
        assert {KINDS["LINK_GAP"], KINDS["SNAPSHOT_BEGIN"]} <= set(tape.events()["kind"].tolist())
    compare([Job(tmp_path / "t", 0, 300)], tmp_path)
