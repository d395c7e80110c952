"""Times that no tape can hold, found by fuzzing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apex.importers.common import FrameProblem
from apex.importers.moments import any_time, iso, ms, seconds, us


@pytest.mark.parametrize(("read", "last", "beyond"), [
    (ms, "9223372036854", "9223372036855"), (us, "9223372036854775", "9223372036854776"),
    (seconds, "9223372036.854775807", "9223372036.854775808"), (seconds, "9223372036", "9999999999"),
    (any_time, "9223372036", "9223372037"), (any_time, "9223372036854775807", "9223372036854775808"),
    (any_time, "9223372036854775", "9223372036854776"),
    (iso, "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775808Z"), (iso, "2262-04-11T23:47:16Z",
                                                                              "9999-01-01T00:00:00Z"),
])
def test_a_time_beyond_64_bits_is_refused(read: Callable[[str], int], last: str, beyond: str) -> None:
    """Lost: an OverflowError without file and line, minutes into an import, for one damaged digit."""
    assert 0 < read(last) < 1 << 63
    with pytest.raises(FrameProblem, match="no time"):
        read(beyond)
