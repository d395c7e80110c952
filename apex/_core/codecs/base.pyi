from typing import Final

DECODE_ERRORS: Final[dict[int, str]]
"""Names of the negative answers of a decoder."""

class Codec:
    """Base class of the compiled decoders; on its own it knows no form."""
