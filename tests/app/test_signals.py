"""Scores and signals from TOML: the same as from a strategy, with exact accounting; and bad tables."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

import apex
from apex.app.generate_command import generate
from apex.app.signals import read
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument
from tests.app.commands import call

COIN = Instrument("AAAUSDT", "generated", "0.1", "0.001", base="AAA", quote="USDT")
OTHER = Instrument("BBBUSDT", "generated", "0.1", "0.001", base="BBB", quote="USDT")
TOML = """
[[scores]]
name = "pressure"
bias = 0.05
terms = [
  { feature = "ofi:50ms", weight = 0.7, shape = "tanh", scale = 400.0 },
  { feature = "imbalance.signed", weight = 0.4 },
]

[[signals]]
name = "up"
feature = "pressure"
above = 0.5
hysteresis = 0.2
quiet = true

[[signals]]
name = "down"
feature = "pressure"
below = -0.5
hysteresis = 0.2
cooldown = "30ms"

[[signals]]
name = "tight"
feature = "touch.spread"
below = 3.5
quiet = true

[[signals]]
name = "entry"
all = ["up", "tight"]
cooldown = "20ms"
"""


class Told(apex.Strategy):
    """Trades by the name of the signal."""

    class Params(apex.Params):
        lots: int = apex.bound(1, low=1, high=9)

    params: Any

    def on_signal(self, view: Any) -> None:
        if view.signal_name == "entry":
            assert view.holding("up")
            view.target(self.params.lots)
        elif view.position_lots > 0:
            view.target(0)


class Asking(Told):
    """The same signals, asked for in on_start."""

    def on_start(self, view: Any) -> None:
        view.blend("pressure", {"ofi:50ms": {"weight": 0.7, "shape": "tanh", "scale": 400.0},
                                "imbalance.signed": 0.4}, bias=0.05)
        view.when("pressure", above=0.5, hysteresis=0.2, name="up", quiet=True)
        view.when("pressure", below=-0.5, hysteresis=0.2, cooldown="30ms", name="down")
        view.when("touch.spread", below=3.5, name="tight", quiet=True)
        view.combine(all=["up", "tight"], name="entry", cooldown="20ms")


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tapes") / "one.tape"
    generate(path, 5, 60_000, (COIN,), 600_000)
    return path


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "signals.toml"
    path.write_text(TOML)
    return path


def test_toml_equals_the_strategy_that_asks(tape: Path, toml: Path) -> None:
    """Lost otherwise: two ways to declare a signal that trade differently; or signals that nobody counts."""
    first = apex.replay(tape, Told, **read(toml)).summary
    second = apex.replay(tape, Asking).summary
    assert first["result_hash"] == second["result_hash"]
    assert first["orders"] > 20
    assert first["blocked_by"]["cooldown"] > 0
    assert first["blocked_by"]["no_order_made"] > 0
    for one in (first, second):
        assert one["signals"] == one["orders"] + one["blocked"]
        assert one["blocked"] == sum(one["blocked_by"].values())


def test_the_command_takes_them(tape: Path, toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: --signals, and [[signals]] within --config, that do nothing."""
    name = f"{__name__}:Told"
    first = call(capsys, "replay", tape, "--strategy", name, "--signals", toml, "--json")
    config = tmp_path / "replay.toml"
    config.write_text(f'strategy = "{name}"\n{TOML}')
    second = call(capsys, "replay", tape, "--config", config, "--json")
    assert first.code == second.code == 0, first.err + second.err
    assert first.value["orders"] > 20
    assert first.value["result_hash"] == second.value["result_hash"]
    alone = call(capsys, "replay", tape, "--signals", toml, "--json")
    assert (alone.code, "there is none" in alone.error["what"]) == (2, True)


def test_a_sweep_takes_them(tape: Path, toml: Path) -> None:
    """Lost otherwise: workers that replay without the signals."""
    found = apex.sweep(tape, Told, grid={"lots": [1, 3]}, workers=1, **read(toml))
    want = [apex.replay(tape, Told, params={"lots": lots}, **read(toml)).summary["result_hash"] for lots in (1, 3)]
    assert list(found.result_hash) == want
    assert min(found.orders) > 20


def test_another_instrument_can_be_named(tmp_path: Path) -> None:
    """Lost otherwise: a signal on one market that trades by the other's book."""
    path = tmp_path / "two.tape"
    generate(path, 6, 40_000, (COIN, OTHER), 600_000)
    seen: set[int] = set()

    class Watching(apex.Strategy):
        def on_signal(self, view: Any) -> None:
            seen.add(view.source)

    apex.replay(path, Watching, signals=[{"name": "x", "feature": "imbalance", "above": 0.7, "instrument": "BBBUSDT"}])
    assert seen == {1}


@pytest.mark.parametrize(("scores", "signals", "what"), [
    ([], [{"name": "a", "feature": "rsi", "above": 1}], "no feature 'rsi'"),
    ([], [{"name": "a", "feature": "imbalance"}], "above, below or both"),
    ([], [{"name": "a", "featrue": "imbalance"}], "unknown key 'featrue'"),
    ([], [{"name": "a"}], "a threshold on a feature, or a combination"),
    ([], [{"name": "a", "feature": "imbalance", "above": 1, "all": ["b"]}], "threshold on a feature, or"),
    ([], [{"name": "a", "all": ["b"]}], "no rule 'b'"), ([], [{"name": "a", "all": ["b"], "above": 1.0}], "threshold"),
    ([], [{"name": "a", "feature": "imbalance", "above": "x"}], "Expected"),
    ([], [{"name": "a", "feature": "imbalance", "above": 1, "cooldown": "5"}], "not a duration"),
    ([], [{"name": "a", "feature": "imbalance", "above": 1, "instrument": "ZZZ"}], "no instrument 'ZZZ'"),
    ([], [{"name": "a", "feature": "imbalance", "above": 1}] * 2, "already"),
    ([{"name": "s", "terms": []}], [], "needs weights"), ([{"name": "s"}], [], "missing required field"),
    ([{"name": "s", "terms": [{"feature": "ofi", "shape": "cube"}]}], [], "unknown"),
    ([{"name": "s", "terms": [{"feature": "ofi", "wait": 1}]}], [], "unknown key 'wait'"),
    ([{"name": "s", "terms": 5}], [], "Expected `array`"),
    ([{"name": "s", "terms": [{"feature": "ofi"}, {"feature": "ofi", "shape": "tanh"}]}], [], "'s' has ofi twice"),
])  # fmt: skip
def test_bad_tables(tape: Path, scores: Any, signals: Any, what: str) -> None:
    """Lost otherwise: a typing mistake that never fires."""
    with pytest.raises(ConfigError, match=what):
        apex.replay(tape, Told, scores=scores, signals=signals)


def test_bad_files(tmp_path: Path) -> None:
    """Lost otherwise: a traceback instead of what to do."""
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / "absent.toml")
    for text, what in (("a = ", "not TOML"), ("strategy = 'x'", "unknown key 'strategy'")):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(ConfigError, match=what):
            read(tmp_path / "bad.toml")


def test_the_page_works(tape: Path, tmp_path: Path) -> None:
    """Lost otherwise: an example that a reader copies and that does not run, or two ways that trade differently."""
    page = (Path(apex.__file__).parents[1] / "docs" / "signals.md").read_text()
    toml, first, second = re.findall(r"```(?:toml|python)\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "signals.toml"
    path.write_text(toml)
    space: dict[str, Any] = {}
    exec(first + "\n\nclass Asking(Follower):\n" + textwrap.indent(second, "    "), space)
    one = apex.replay(tape, space["Follower"], **read(path)).summary
    assert one["orders"] > 5
    assert one["result_hash"] == apex.replay(tape, space["Asking"]).summary["result_hash"]
