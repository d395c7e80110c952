"""The equity curve where nothing happens for long."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.core.assembly import BUY, START, Hooks, Run, message
from tests.core.test_engine import quiet


def test_a_quiet_curve_is_the_same() -> None:
    """Lost otherwise: points of the equity curve, a day's begin or the last word, where nothing happens for long.

    A strategy whose timer fires at every point keeps the driver from passing over them.
    """
    second = 1_000_000_000
    places = [0, 3, 3, 90_000, 90_001, 200_000]
    changes = [message("BOOK_LEVEL", START + at * second + 7 * (n % 2), [(BUY, 100 + n % 2, 5)])
               for n, at in enumerate(places)]
    events = np.concatenate([quiet(), *changes])

    def buy(view: Any) -> None:
        view.limit("buy", 103, 1)

    def told(timer: bool) -> Run:
        hooks = [Hooks(on_start=lambda view: view.at(START + 2 * second + 5), on_timer=buy)]
        if timer:
            hooks.append(Hooks(on_start=lambda view: view.every("1s"), on_timer=lambda view: None))
        return Run(events, hooks).run()

    one, two = told(False), told(True)
    assert one.engine.calls < 10 < two.engine.calls
    for mine, other in zip(one.engine.tables()[2:], two.engine.tables()[2:], strict=True):
        assert mine.tobytes() == other.tobytes()
    assert len(one.engine.tables()[2]) == 200_001
    assert one.engine.tables()[3]["lots"][-1, 0] == 1
