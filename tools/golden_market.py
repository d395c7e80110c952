"""Renews tests/golden/market/scenarios.json, the hashes of every scenario's rows; only after a change that was meant.

    python -m tools.golden_market
"""

from __future__ import annotations

import json
from hashlib import blake2b

from tests.conftest import ROOT
from tests.core import markets


def main() -> None:
    """Write the file."""
    found = {name: blake2b(markets.rows(markets.of(name), 1, 30_000).tobytes(), digest_size=32).hexdigest()
             for name in markets.NAMES}
    path = ROOT / "tests" / "golden" / "market" / "scenarios.json"
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
