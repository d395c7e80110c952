"""The recordings that the pages replay, and the costs of trading on their venues."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from apex.importers.binance import import_binance
from apex.research.intensity import Intensity, intensity
from apex.store.tape import Tape

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("APEX_DATA", ROOT.parent / "shared" / "data")) / "ticks" / "binance"
TAPES = ROOT / "build" / "pages"
DIGITS = 4
"""Significant digits of fitted parameters: enough, and the same on every machine."""


_imported: set[Path] = set()


class Recording(NamedTuple):
    """Files of one market, and the fees of the venue's lowest tier."""

    name: str
    label: str
    files: tuple[str, ...]
    maker_fee: str
    taker_fee: str

    @property
    def tape(self) -> Path:
        """The tape, imported anew once a process."""
        path = TAPES / f"{self.name}.tape"
        if path not in _imported:
            TAPES.mkdir(parents=True, exist_ok=True)
            import_binance([DATA / file for file in self.files], path)
            _imported.add(path)
        return path

    @property
    def costs(self) -> dict[str, str]:
        """Options of a replay: latencies and fees."""
        return {"order_latency": "5ms", "response_latency": "5ms", "maker_fee": self.maker_fee,
                "taker_fee": self.taker_fee}  # fmt: skip


USDM, SPOT = ("0.0002", "0.0005"), ("0.001", "0.001")
BTC23 = Recording("btc-usdm-20230405", "BTC perp 2023",
                  ("usdm_btcusdt_20230404.dat.gz", "usdm_btcusdt_20230405.dat.gz"), *USDM)  # fmt: skip
BTC0719 = Recording("btc-usdm-20240719", "BTC perp July",
                    ("usdm_btcusdt_20240718.gz", "usdm_btcusdt_20240719.gz"), *USDM)  # fmt: skip
ETH0719 = Recording("eth-usdm-20240719", "ETH perp July",
                    ("usdm_ethusdt_20240718.gz", "usdm_ethusdt_20240719.gz"), *USDM)  # fmt: skip
BTC0808 = Recording("btc-usdm-20240808", "BTC perp August", ("usdm_btcusdt_20240808.gz",), *USDM)
SPOT0809 = Recording("btc-spot-20240809", "BTC spot August",
                     ("spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"), *SPOT)  # fmt: skip
ALL = (BTC23, BTC0719, ETH0719, BTC0808, SPOT0809)


class Facts(NamedTuple):
    """What the pages derive parameters from: all of it before `half`, where the trading of fitted makers begins."""

    start: int
    half: int
    stop: int
    mid_ticks: float
    value: float
    """Quote currency of one lot at the mean mid."""
    fit: Intensity

    def lots(self, amount: float) -> int:
        """Lots worth an amount of the quote currency."""
        return max(1, round(amount / self.value))


_facts: dict[str, Facts] = {}


def facts(recording: Recording) -> Facts:
    """The facts of a recording's first half."""
    if recording.name not in _facts:
        with Tape.open(recording.tape) as tape:
            ts = tape.batches["ts_local_ns"]
            start, stop = int(ts[0]), int(ts.max())
            half = (start + stop) // 2
            fit = intensity(tape, 0, start, half)
            numerator, denominator = tape.instruments[0].value
            value = fit.mid_ticks * numerator / denominator / 1e8
        _facts[recording.name] = Facts(start, half, stop, fit.mid_ticks, value, fit)
    return _facts[recording.name]


def short(value: float) -> float:
    """A parameter in a few digits."""
    return float(f"{value:.{DIGITS}g}")


def fitted(found: Intensity) -> dict[str, Any]:
    """Parameters of market makers from a fit."""
    return {"sigma": short(found.sigma), "k": short(found.k), "a": short(found.a)}
