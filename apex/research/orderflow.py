"""Integrated order flow: one number from the order flow of several levels.

Source: Cont, Cucuringu and Zhang, "Cross-impact of order flow imbalance in equity markets", Quantitative Finance 2023.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from apex.domain.errors import InputError


def integrated_weights(flows: ArrayLike) -> NDArray[np.float64]:
    """Weights of the levels: the first principal component of their flows, absolute weights summing to 1.

    Parameters
    ----------
    flows : array (n, levels)
        Columns `mlofi.1`, `mlofi.2`, ... of `apex.features`; rows with an unknown value are left out. The sign is
        chosen so that the first level's weight is not negative. Use them in `blend` on later data only.

    >>> integrated_weights([[1.0, 2.0], [-1.0, -2.0], [2.0, 4.0]]).round(6).tolist()
    [0.333333, 0.666667]

    Raises
    ------
    InputError
        If there are less than two rows, or the flows never vary.
    """
    table = np.asarray(flows, float)
    table = table[np.isfinite(table).all(axis=1)] if table.ndim == 2 else np.zeros((0, 1))
    if len(table) < 2 or not table.var(axis=0).sum() > 0:
        raise InputError("integrated order flow needs rows of flows that vary", "mlofi", "Give a longer history")
    covariance = np.atleast_2d(np.cov(table, rowvar=False))
    first = np.linalg.eigh(covariance)[1][:, -1]
    weights: NDArray[np.float64] = first / np.abs(first).sum()
    return weights if weights[0] >= 0 else -weights
