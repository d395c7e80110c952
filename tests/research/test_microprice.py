"""The micro-price's fit: a chain whose answer is known, antisymmetry, few visits, and its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apex.domain.errors import InputError
from apex.research import microprice
from apex.research.saved import save

BUCKETS, SPREADS = 4, 2
LOTS = [(1, 7), (3, 5), (5, 3), (7, 1)]
"""Bid and ask lots in the middle of each of four buckets."""


class Chain:
    """A symmetric market of eight states (spread, bucket): the next state and the move of the mid by their odds."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        count = BUCKETS * SPREADS
        self.mirror = np.arange(count).reshape(SPREADS, BUCKETS)[:, ::-1].ravel()
        self.moves = np.array([-1.0, 0.0, 1.0])
        odds = rng.random((count, 3, count)) + 0.05
        lean = np.tile(np.linspace(-1, 1, BUCKETS), SPREADS)
        odds[:, 0] *= np.exp(-lean)[:, None] * 0.3
        odds[:, 2] *= np.exp(lean)[:, None] * 0.3
        odds = odds + odds[self.mirror][:, ::-1][:, :, self.mirror]
        self.odds = odds / odds.sum(axis=(1, 2), keepdims=True)

    def expected(self) -> Any:
        """E of the mid's whole future move, by iterating the chain itself: no Q, R, T."""
        step = self.odds.sum(axis=1)
        mean = (self.odds.sum(axis=2) * self.moves).sum(axis=1)
        total, weights = np.zeros(len(mean)), np.eye(len(mean))
        for _ in range(5000):
            total += weights @ mean
            weights = weights @ step
        return total


@pytest.mark.parametrize("seed", range(3))
def test_solve_gives_the_limit_of_a_known_chain(seed: int) -> None:
    """Lost otherwise: a price that does not predict. Without Q, R and T: by the chain's own steps."""
    chain = Chain(seed)
    before, move, after = np.indices(chain.odds.shape).reshape(3, -1)
    times = np.round(chain.odds * 1e4).astype(int).ravel() + 1          # the odds, as counts of observations
    b, m, a = (np.repeat(x, times) for x in (before, chain.moves[move], after))
    mirrored = np.concatenate([b, chain.mirror[b]]), np.concatenate([a, chain.mirror[a]]), np.concatenate([m, -m])
    counts = np.zeros_like(chain.odds)
    np.add.at(counts, (mirrored[0], mirrored[2].astype(int) + 1, mirrored[1]), 1.0)
    chain.odds = counts / counts.sum(axis=(1, 2), keepdims=True)
    got = microprice.solve(*mirrored, BUCKETS * SPREADS)
    np.testing.assert_allclose(got, chain.expected(), atol=1e-7)
    np.testing.assert_allclose(got, -got[chain.mirror], atol=2e-9)


def test_a_fit_finds_the_chain_it_came_from() -> None:
    """Lost otherwise: an estimate that is off by more than chance. Monotone, and the next move unbiased around it."""
    rng = np.random.default_rng(1)
    rows, bid, level = [], 1000, 2
    for _ in range(60_000):                      # one tick of spread; the book leans to where the price goes next
        level = int(np.clip(level + rng.choice((-1, 0, 1)), 0, 3))
        rows.append((bid, LOTS[level][0], bid + 1, LOTS[level][1]))
        if rng.random() < 0.2:
            bid += 1 if rng.random() < (0.1, 0.35, 0.65, 0.9)[level] else -1
            level = int(rng.integers(0, 4))
    model = microprice.fit(np.array(rows), buckets=4, spreads=2)
    shift = np.array(model.table)
    assert (np.diff(shift[0]) > 0).all()
    assert np.abs(shift).max() < 2.0
    np.testing.assert_array_equal(shift[0], shift[1])      # a spread of two ticks was never seen
    np.testing.assert_allclose(shift, -shift[:, ::-1], atol=2e-9)
    assert model.moves > 10_000
    assert microprice.describe(model)[0]["imbalance"] == 0.125
    quotes = np.array(rows)
    mids = quotes[:, 0] + 0.5
    bucket = (quotes[:, 1] * 4 // 8)
    later = np.full(len(mids), np.nan)
    later[:-200] = mids[200:]
    for b in range(4):
        here = (bucket == b) & ~np.isnan(later)
        ahead = later[here] - mids[here]
        error = 6 * ahead.std() / np.sqrt(here.sum() / 200)
        assert abs(ahead.mean() - shift[0][b]) < error


def test_recorded_quotes(data_file: Any, tmp_path: Path) -> None:
    """Lost otherwise: a fit that breaks on a real market. Antisymmetric; monotone at one tick, within half a spread."""
    from apex.app.features import fit_microprice
    from apex.importers.binance import import_binance
    from apex.store.tape import Tape

    out = tmp_path / "x.tape"
    import_binance([data_file("ticks/binance/usdm_btcusdt_20240808.gz")], out)
    with Tape.open(out) as tape:
        table = np.array(fit_microprice(tape).table)
    np.testing.assert_allclose(table, -table[:, ::-1], atol=1e-9)
    assert table[0, 0] < 0 < table[0, -1]


def test_few_visits_join_their_neighbours() -> None:
    """Lost otherwise: a shift from three observations. Alike on both sides."""
    visits = np.array([[5, 60, 80, 80, 60, 5], [0, 1, 2, 2, 1, 0], [70, 70, 70, 70, 70, 70]])
    joined = microprice._merged(visits, 50).reshape(3, 6)
    assert joined[0].tolist() == joined[1].tolist() == [1, 1, 2, 3, 4, 4]
    assert joined[2].tolist() == [12, 13, 14, 15, 16, 17]
    assert microprice._joined(np.array([1, 2, 3, 2, 1]), 50).tolist() == [2] * 5
    assert microprice._joined(np.array([1, 2, 2, 1]), 50).tolist() == [1] * 4
    assert microprice._merged(np.array([[1, 1], [90, 90]]), 50).tolist() == [2, 3, 2, 3]


@pytest.mark.parametrize(("quotes", "what"), [
    (np.zeros((0, 4), int), "needs quotes"), (np.zeros((5, 3), int), "needs quotes"),
    (np.array([[1, 1, 2, 1]] * 20), "too few"), (np.array([[1, 1, 2, 1]] * 500), "does not move"),
])  # fmt: skip
def test_what_cannot_be_fitted(quotes: Any, what: str) -> None:
    """Lost otherwise: a table of zeros, or of infinities, that looks like a model."""
    with pytest.raises(InputError, match=what):
        microprice.fit(quotes)


def test_breaks_are_no_moves() -> None:
    """Lost otherwise: a gap of a hundred ticks, taken for a move."""
    rng = np.random.default_rng(2)
    bid = 1000 + np.cumsum(rng.choice((-1, 0, 1), 3000))
    quotes = np.column_stack([bid, rng.integers(1, 9, 3000), bid + 1, rng.integers(1, 9, 3000)])
    jumped = quotes.copy()
    jumped[1500:, [0, 2]] += 10_000
    follows = np.ones(3000, bool)
    follows[1500] = False
    broken = microprice.fit(jumped, follows=follows)
    assert np.abs(broken.table).max() < 5
    assert np.abs(microprice.fit(jumped).table).max() > 5


def test_models_are_kept_in_files(tmp_path: Path) -> None:
    """Lost otherwise: a model that reads back as another."""
    model = microprice.MicroPriceModel(table=((-0.25, 0.25),), visits=((60, 60),), moves=7)
    save(model, tmp_path / "m.json")
    assert microprice.load(tmp_path / "m.json") == model
    for text in ("{}", "[]", '{"table": []}', '{"table": [[1], [1, 2]]}', '{"table": [[1]], "kind": "hawkes"}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match="no model"):
            microprice.load(tmp_path / "bad.json")
