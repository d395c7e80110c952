"""The micro-price: fitting it to a history of quotes, keeping it in a file.

Source: Stoikov, "The micro-price: a high-frequency estimator of future prices", Quantitative Finance 2018, section 3.
The evaluation is compiled: the feature `microprice` with the parameter `model`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from apex.domain.errors import InputError

TOLERANCE = 1e-9
STEPS_MAX = 100_000
VISITS_MIN = 50


class MicroPriceModel(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted micro-price.

    Attributes
    ----------
    table : rows of floats
        Adjustment G* of the mid in ticks: a row for each spread of 1, 2, ... ticks, a column for each bucket of
        imbalance. Antisymmetric: G*(1 - I) = -G*(I).
    visits : rows of ints
        Observations of each state, mirrored ones included.
    moves : int
        Observed moves of the mid.
    """

    table: tuple[tuple[float, ...], ...]
    visits: tuple[tuple[int, ...], ...] = ()
    moves: int = 0
    kind: str = "microprice"


def load(path: str | Path) -> MicroPriceModel:
    """Read a model that `apex.research.saved.save` wrote.

    Raises
    ------
    InputError
        If there is none.
    """
    try:
        model = msgspec.json.decode(Path(path).read_bytes(), type=MicroPriceModel)
    except OSError as error:
        raise InputError(f"cannot read the model: {error.strerror}", str(path), "Check the path") from None
    except msgspec.DecodeError as error:
        raise InputError(f"no model of a micro-price: {error}", str(path),
                         "Fit one: apex features TAPE --fit microprice --out FILE") from None
    if model.kind != "microprice" or not model.table or len({len(row) for row in model.table}) != 1:
        raise InputError("no model of a micro-price", str(path),
                         "Fit one: apex features TAPE --fit microprice --out FILE")
    return model


def _states(quotes: NDArray[np.int64], buckets: int, spreads: int) -> NDArray[np.int64]:
    """State of each quote: spread (those wider than `spreads` count as it) * buckets + bucket of imbalance."""
    bid, bid_lots, ask, ask_lots = quotes.T
    bucket = np.minimum(bid_lots * buckets // (bid_lots + ask_lots), buckets - 1)
    state: NDArray[np.int64] = (np.minimum(ask - bid, spreads) - 1) * buckets + bucket
    return state


def _joined(counts: NDArray[np.int64], visits_min: int) -> NDArray[np.int64]:
    """For each bucket the one that it counts as: from the outside in, alike on both sides; the last two join."""
    size = len(counts)
    counts, joined = counts.copy(), np.arange(size)
    for left in range(size // 2):
        right, inner = size - 1 - left, min(left + 1, size - 1 - left)
        if counts[left] >= visits_min:
            continue
        if inner == right:  # the two in the middle
            joined[joined == right] = left
            continue
        joined[joined == left], joined[joined == right] = inner, size - 1 - inner
        counts[inner] += counts[left]
        counts[size - 1 - inner] += counts[right]
    return joined


def _merged(visits: NDArray[np.int64], visits_min: int) -> NDArray[np.int64]:
    """For each state the one that it counts as: a spread of few visits counts as the next smaller one, the first as
    the next wider, and within a spread a bucket of few visits as its neighbour towards the middle."""
    spreads, buckets = visits.shape
    rows, totals = np.arange(spreads), visits.sum(axis=1)
    for row in range(spreads - 1, 0, -1):
        if totals[row] < visits_min:
            rows[rows == row] = row - 1
            totals[row - 1] += totals[row]
    wider = rows[rows > 0]
    if totals[0] < visits_min and len(wider):
        rows[rows == 0] = wider[0]
    pooled = np.zeros_like(visits)
    np.add.at(pooled, rows, visits)
    return np.concatenate([row * buckets + _joined(pooled[row], visits_min) for row in rows])


def fit(quotes: NDArray[np.int64], *, follows: NDArray[np.bool_] | None = None, buckets: int = 10, spreads: int = 3,
        visits_min: int = VISITS_MIN) -> MicroPriceModel:
    """Fit a micro-price to consecutive quotes.

    Parameters
    ----------
    quotes : int array (n, 4)
        bid ticks, bid lots, ask ticks, ask lots of each update, bid < ask.
    follows : bool array (n,), optional
        False where a quote does not follow the one before it (after a gap); all do unless given.
    buckets, spreads : int
        Equal buckets of imbalance, and spreads of 1, 2, ... ticks; wider ones count as the widest in the fit, and have
        the weighted mid when it is evaluated.
    visits_min : int
        States of fewer observations count as their neighbours.

    Raises
    ------
    InputError
        If the quotes are too few, or their mid does not move from every state.
    """
    quotes = np.asarray(quotes, np.int64)
    if quotes.ndim != 2 or quotes.shape[1:] != (4,) or len(quotes) < 2:
        raise InputError("a micro-price needs quotes: rows of bid, bid lots, ask, ask lots", "microprice", "Give more")
    good = (quotes[:, 2] > quotes[:, 0]) & (quotes[:, 1] + quotes[:, 3] > 0)
    linked = good[1:] & good[:-1] if follows is None else good[1:] & good[:-1] & np.asarray(follows, bool)[1:]
    safe = np.where(good[:, None], quotes, np.array([0, 1, 1, 1]))
    state = _states(safe, buckets, spreads)
    before, after = state[:-1][linked], state[1:][linked]
    mid2 = quotes[:, 0] + quotes[:, 2]
    move = (np.diff(mid2)[linked]).astype(float) / 2
    mirror = _mirror(buckets, spreads)
    before = np.concatenate([before, mirror[before]])
    after = np.concatenate([after, mirror[after]])
    move = np.concatenate([move, -move])
    count = buckets * spreads
    visits = np.bincount(before, minlength=count).reshape(spreads, buckets)
    if visits.sum() < 2 * visits_min:
        raise InputError(f"{int(visits.sum()) // 2} updates are too few for a micro-price", "microprice",
                         f"Give {visits_min} or more")
    target = _merged(visits, visits_min)
    shift = solve(target[before], target[after], move, count)
    table = shift[target].reshape(spreads, buckets)
    return MicroPriceModel(table=tuple(tuple(map(float, row)) for row in table),
                           visits=tuple(tuple(map(int, row)) for row in visits),
                           moves=int(np.count_nonzero(move)) // 2)


def _mirror(buckets: int, spreads: int) -> NDArray[np.int64]:
    """For each state the one with imbalance 1 - I."""
    found: NDArray[np.int64] = (np.arange(spreads)[:, None] * buckets + np.arange(buckets)[::-1]).ravel()
    return found


def solve(before: NDArray[np.int64], after: NDArray[np.int64], move: NDArray[np.float64],
          count: int) -> NDArray[np.float64]:
    """G* of each state: G1 = (I - Q)^-1 R K, B = (I - Q)^-1 T, G* = G1 + B G1 + B^2 G1 + ...; 0 where never visited.

    Parameters
    ----------
    before, after : int arrays
        States of each observed transition.
    move : float array
        Move of the mid in it, ticks.
    count : int
        Number of states.
    """
    visited = np.unique(np.concatenate([before, after]))
    place = np.full(count, -1)
    place[visited] = np.arange(len(visited))
    a, b, n = place[before], place[after], len(visited)
    total = np.bincount(a, minlength=n).astype(float)
    total[total == 0] = 1.0
    moved = move != 0
    staying, moving = np.zeros((n, n)), np.zeros((n, n))
    np.add.at(staying, (a[~moved], b[~moved]), 1.0)
    np.add.at(moving, (a[moved], b[moved]), 1.0)
    expected = np.bincount(a, weights=move, minlength=n) / total
    staying, moving = staying / total[:, None], moving / total[:, None]
    try:
        inverse = np.linalg.inv(np.eye(n) - staying)
    except np.linalg.LinAlgError:
        raise InputError("the mid does not move from every state", "microprice", "Give a longer history") from None
    if not np.isfinite(inverse).all() or np.abs(inverse).max() > 1e12:
        raise InputError("the mid does not move from every state", "microprice", "Give a longer history")
    first, step = inverse @ expected, inverse @ moving
    shift, term = first.copy(), first
    for _ in range(STEPS_MAX):
        term = step @ term
        shift += term
        if np.abs(term).max() < TOLERANCE:
            break
    else:
        raise InputError("the micro-price does not converge: the history is one-sided", "microprice",
                         "Give a longer history")
    found = np.zeros(count)
    found[visited] = shift
    return found


def describe(model: MicroPriceModel) -> list[dict[str, Any]]:
    """One row a state: spread, imbalance (middle of the bucket), visits and shift in ticks."""
    buckets = len(model.table[0])
    return [{"spread_ticks": row + 1, "imbalance": (column + 0.5) / buckets,
             "visits": model.visits[row][column] if model.visits else None, "shift_ticks": model.table[row][column]}
            for row in range(len(model.table)) for column in range(buckets)]
