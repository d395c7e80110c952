"""`apex facts`: the table, its JSON, its page, and the words about mistakes."""

from __future__ import annotations

import io
import json
import re
import resource
from pathlib import Path

import pytest
from rich.console import Console

from apex.app.facts_command import _show
from apex.app.generate_command import find, generate, generate_scenario
from apex.domain.instrument import Instrument
from apex.research.facts import BANDS, FACTS
from apex.research.facts_page import shown
from apex.store.tape import TapeWriter
from tests.app.commands import call

PLAIN = Instrument("SIM1USDT", "generated", "0.1", "0.001", base="SIM1", quote="USDT")


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """btc, two venues, and the plain market, small."""
    folder = tmp_path_factory.mktemp("tapes")
    paths = {name: folder / f"{name}.tape" for name in ("btc", "two-venues", "plain")}
    for name in ("btc", "two-venues"):
        generate_scenario(paths[name], 1, 120_000, find(name))
    generate(paths["plain"], 7, 60_000, [PLAIN], 600_000)
    return paths


def test_every_instrument_is_a_column(tapes: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: keys that scripts read, and a way to compare one venue with another."""
    done = call(capsys, "facts", tapes["btc"], tapes["two-venues"], "--json")
    assert done.code == 0
    first, second, third = done.value
    assert [v["name"] for v in done.value] == ["btc", "two-venues generated-a:SIM1USDT",
                                               "two-venues generated-b:SIM1USDT"]
    assert (first["tape"], first["instrument"], first["generated"], first["rows"]) == (
        str(tapes["btc"]), "SIM1USDT", True, 120_000)
    assert first["seconds"] > 20
    for value in (first, second, third):
        assert list(value["facts"]) == list(value["bands"]) == [fact.name for fact in FACTS]
        for name, (low, high) in value["bands"].items():
            found = value["facts"][name]
            assert (name in value["unknown"]) == (found is None)
            assert (name in value["outside"]) == (found is not None and not low <= found <= high)


def test_check_fails_where_a_fact_lies_outside(tapes: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a check in a script that is always content."""
    done = call(capsys, "facts", tapes["plain"], "--check", "--json")
    assert done.code == 1
    assert "touch_in_orders" in done.value[0]["outside"]
    assert call(capsys, "facts", tapes["plain"], "--json").code == 0


def test_nothing_to_measure_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a check that is content with an empty tape."""
    with TapeWriter(tmp_path / "t", [PLAIN], source="test"):
        pass
    done = call(capsys, "facts", tmp_path / "t", "--check")
    assert (done.code, "nothing to measure" in done.out) == (1, True)


def test_a_narrow_screen_breaks_no_number(tapes: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: 0.00012 read as 0.00 and 012."""
    value = call(capsys, "facts", *tapes.values(), "--json").value
    for width in (60, 80, 120):
        screen = Console(width=width, file=io.StringIO(), highlight=False)
        _show(screen, value, None)
        lines = screen.file.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        words = {word for line in lines for word in line.split()}
        assert {shown(v) for column in value for v in column["facts"].values()} <= words


def test_people_see_a_table(tapes: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: the command's everyday use, and the mark that says which number is unusual."""
    shown = call(capsys, "facts", tapes["plain"]).out
    for name in BANDS:
        assert name[:10] in shown
    assert re.search(r"touch_in_orders? .*\*", shown)
    assert "* outside the band" in shown


def test_the_page_stands_by_itself(tapes: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a page that shows nothing without a network, or other numbers than the JSON."""
    out = tmp_path / "facts.html"
    value = call(capsys, "facts", tapes["btc"], tapes["plain"], "--out", out, "--json").value
    text = out.read_text("utf-8")
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", text)
    assert "http://" not in text
    assert "https://" not in text
    held = {name: json.loads(body) for name, body in re.findall(
        r'<script type="application/json" id="(\w+)">(.*?)</script>', text, re.DOTALL)}
    assert [one["facts"] for one in held["summary"]] == [one["facts"] for one in value]
    figures = set(re.findall(r'id="plot-(\w+)"', text))
    for one in held["plots"]:
        assert figures == set(one) - {"name", "generated"}
        for name in figures:
            assert len(one[name]["x"]) == len(one[name]["y"]) > 3, name
            assert one[name]["x"] == sorted(one[name]["x"])
    assert text.count('class="n loss"') == sum(len(one["outside"]) for one in value)


@pytest.mark.parametrize(("words", "where", "said"), [
    (("--out", "facts.png"), "--out", ".html"), (("--rows", "0"), "--rows", "--rows"), (("--rows", "x"), "--rows", "x"),
])
def test_wrong_options_are_named(tapes: dict[str, Path], words: tuple[str, ...], where: str, said: str,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a user who is told that something is wrong, but not what or where."""
    done = call(capsys, "facts", tapes["btc"], *words, "--json")
    assert done.code == 2
    assert done.error["where"] == where
    assert said in done.error["what"] + done.error["do"]


def test_files_that_are_not_there(tapes: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: exit codes that tell a mistake of the caller from one of the machine."""
    assert call(capsys, "facts", tmp_path / "none.tape", "--json").code == 3
    done = call(capsys, "facts", tapes["plain"], "--out", tmp_path / "no" / "facts.html", "--json")
    assert (done.code, done.error["code"]) == (4, "environment")


def test_a_page_that_cannot_be_written_whole_leaves_the_old_one(tapes: dict[str, Path], tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: half a page in the place of yesterday's, from a disk that filled up."""
    out = tmp_path / "facts.html"
    out.write_text("yesterday's", encoding="utf-8")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        done = call(capsys, "facts", tapes["btc"], "--rows", "20000", "--out", out, "--json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (done.code, done.error["where"]) == (4, str(out))
    assert out.read_text("utf-8") == "yesterday's"
    assert [path.name for path in tmp_path.iterdir()] == ["facts.html"]


def test_rows_can_be_limited(tapes: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: facts of a day's tape within a minute."""
    (value,) = call(capsys, "facts", tapes["btc"], "--rows", "20000", "--json").value
    assert 19_000 < value["rows"] <= 20_000
