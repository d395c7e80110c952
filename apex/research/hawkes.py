"""Hawkes processes of trades: fitting them by maximum likelihood, for the features `hawkes` and `hawkes_pair`.

Sources: Hawkes, Biometrika 1971; Ozaki, Ann. Inst. Stat. Math. 1979 (likelihood). Needs scipy (the extra `research`).
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from apex._core.features_trades import excitation
from apex.domain.errors import EnvironmentProblem, InputError

EVENTS_MIN = 50
BRANCHING_MAX = 0.99

Array = NDArray[np.float64]


class HawkesModel(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted process; times in seconds.

    Attributes
    ----------
    mu : one float, or two (buys, sells)
        Intensity without excitation.
    alpha : one float, or four (buy by buy, buy by sell, sell by buy, sell by sell)
        Jump of the intensity at an event.
    beta : float
        Decay.
    branching : float
        Events that an event causes: spectral radius of alpha / beta, below 1.
    log_likelihood : float
    events : int
    """

    mu: tuple[float, ...]
    alpha: tuple[float, ...]
    beta: float
    branching: float
    log_likelihood: float
    events: int
    kind: str = "hawkes"

    def feature(self, part: str = "") -> str:
        """The name of the compiled feature that computes it; of a pair, part is buy, sell, skew or branching."""
        family = "hawkes" if len(self.mu) == 1 else "hawkes_pair"
        return ":".join([f"{family}.{part}" if part else family,
                         *(repr(x) for x in (*self.mu, *self.alpha, self.beta))])


def seconds(ts_ns: NDArray[np.int64]) -> Array:
    """Times of events in seconds since the first; those at one time are one event."""
    found = np.unique(np.asarray(ts_ns, np.int64))
    return (found - found[0]).astype(np.float64) / 1e9 if len(found) else np.zeros(0)


def intensity(times: Array, events: Array, mu: float, alpha: float, beta: float) -> Array:
    """Intensity just before each of `times`: mu + alpha * sum of exp(-beta * (t - event)) over the events before.

    >>> intensity(np.array([0, 1, 1.5, 3]), np.array([0, 1, 1.5, 3]), 0.5, 0.8, 1.2).round(6).tolist()
    [0.5, 0.740955, 1.071288, 0.726672]
    """
    return mu + alpha * _sums(times, events, beta)[:, 0]


def log_likelihood(events: Array, end: float, mu: float, alpha: float, beta: float) -> float:
    """Of events within [0, end], seconds.

    >>> round(log_likelihood(np.array([0, 1, 1.5, 3]), 4.0, 0.5, 0.8, 1.2), 6)
    -5.652357
    """
    rates = intensity(events, events, mu, alpha, beta)
    compensator = mu * end + alpha / beta * float(np.sum(-np.expm1(-beta * (end - np.asarray(events, float)))))
    return float(np.log(rates).sum()) - compensator


def _sums(times: Array, events: Array, beta: float) -> Array:
    """Decayed counts before each time, and their derivatives by beta."""
    out = np.zeros((len(times), 2))
    excitation(np.ascontiguousarray(times, np.float64), np.ascontiguousarray(events, np.float64), beta, out)
    return out


def _tail(events: Array, end: float, beta: float) -> tuple[float, float]:
    """Sum of (1 - exp(-beta * (end - t))) / beta, and its derivative by beta."""
    age = end - events
    decayed = np.exp(-beta * age)
    total = float((1 - decayed).sum())
    return total / beta, float((age * decayed).sum()) / beta - total / beta**2


def _one(theta: Array, streams: list[Array], side: int, end: float) -> tuple[float, Array]:
    """Negative log-likelihood of one side's events and its gradient by log mu, log alphas and log beta."""
    mu, alpha, beta = np.exp(theta[0]), np.exp(theta[1:-1]), np.exp(theta[-1])
    times = streams[side]
    sums = [_sums(times, events, beta) for events in streams]
    tails = [_tail(events, end, beta) for events in streams]
    rates = mu + sum(a * s[:, 0] for a, s in zip(alpha, sums, strict=True))
    inverse = 1.0 / rates
    value = float(np.log(rates).sum()) - mu * end - sum(float(a * t[0]) for a, t in zip(alpha, tails, strict=True))
    slope = np.zeros(len(theta))
    slope[0] = mu * (float(inverse.sum()) - end)
    for i, (a, s, t) in enumerate(zip(alpha, sums, tails, strict=True)):
        slope[1 + i] = a * (float((inverse * s[:, 0]).sum()) - t[0])
        slope[-1] += beta * a * (float((inverse * s[:, 1]).sum()) - t[1])
    return -value, -slope


def _minimum(objective: Any, start: Array) -> tuple[Array, float]:
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise EnvironmentProblem("fitting a Hawkes process needs scipy", "hawkes",
                                 'Install the extra: pip install "apex-organism[research]"') from None
    # A tick of time is 1 ns: decays beyond are not told apart.
    bounds = [(-20.0, 20.0)] * len(start)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return np.asarray(found.x, float), float(found.fun)


def _spectral(alpha: Array, beta: float) -> float:
    return float(np.abs(np.linalg.eigvals(alpha)).max()) / beta


def _checked(streams: list[Array]) -> float:
    """The end of the window: the last event of all."""
    least = min(len(s) for s in streams)
    if least < EVENTS_MIN:
        raise InputError(f"{least} events are too few for a Hawkes process", "hawkes", f"Give {EVENTS_MIN} or more")
    return float(max(s[-1] for s in streams))


def fit(events: Array, *, start: HawkesModel | None = None) -> HawkesModel:
    """Fit mu, alpha and beta to event times in seconds, increasing, by L-BFGS on their logarithms.

    Parameters
    ----------
    events : float array
    start : HawkesModel, optional
        Where to begin: the fit of the window before.

    Raises
    ------
    InputError
        If there are too few events, or the branching ratio reaches 0.99: the fit means nothing.
    """
    events = np.asarray(events, float) - float(events[0]) if len(events) else np.zeros(0)
    end = _checked([events])
    rate = len(events) / end
    theta = np.log([rate / 2, rate / 2, rate]) if start is None else np.log([*start.mu, *start.alpha, start.beta])
    theta, value = _minimum(lambda x: _one(x, [events], 0, end), theta)
    mu, alpha, beta = (float(x) for x in np.exp(theta))
    return _model((mu,), (alpha,), beta, -value, len(events))


def fit_pair(buys: Array, sells: Array, *, start: HawkesModel | None = None) -> HawkesModel:
    """Fit the process of buys and sells with one decay; see `fit`."""
    first = min(float(x[0]) for x in (buys, sells)) if len(buys) and len(sells) else 0.0
    streams = [np.asarray(x, float) - first for x in (buys, sells)]
    end = _checked(streams)
    rates = [len(s) / end for s in streams]

    def objective(theta: Array) -> tuple[float, Array]:
        total, slope = 0.0, np.zeros(7)
        for side in (0, 1):
            places = [side, 2 + 2 * side, 3 + 2 * side, 6]
            value, part = _one(theta[places], streams, side, end)
            total += value
            slope[places] += part
        return total, slope

    theta = (np.log([rates[0] / 2, rates[1] / 2, rates[0] / 3, rates[0] / 6, rates[1] / 6, rates[1] / 3, sum(rates)])
             if start is None else np.log([*start.mu, *start.alpha, start.beta]))
    theta, value = _minimum(objective, theta)
    found = [float(x) for x in np.exp(theta)]
    return _model((found[0], found[1]), tuple(found[2:6]), found[6], -value, sum(len(s) for s in streams))


def _model(mu: tuple[float, ...], alpha: tuple[float, ...], beta: float, value: float, events: int) -> HawkesModel:
    size = len(mu)
    branching = _spectral(np.array(alpha).reshape(size, size), beta)
    if branching >= BRANCHING_MAX:
        raise InputError(f"the branching ratio is {branching:.4f}: the fit means nothing", "hawkes",
                         "Give a longer or a calmer window")
    return HawkesModel(mu=mu, alpha=alpha, beta=beta, branching=branching, log_likelihood=value, events=events)
