from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BUILD: Final[str]
"""Name of this build: release, checked or sanitize."""
COMPILER_FLAGS: Final[str]
"""What the core was compiled with, for results: optimisation, and the instruction set of APEX_MARCH."""
EVENT_DTYPE: Final[np.dtype[np.void]]
BATCH_DTYPE: Final[np.dtype[np.void]]
LEVEL_DTYPE: Final[np.dtype[np.void]]
COMMAND_DTYPE: Final[np.dtype[np.void]]
KINDS: Final[dict[str, int]]
FLAGS: Final[dict[str, int]]
SIDES: Final[dict[str, int]]
TIFS: Final[dict[str, int]]
ENCODINGS: Final[dict[str, int]]

def pack(events: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...
def unpack(batches: NDArray[Any], levels: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]: ...
