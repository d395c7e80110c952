#!/usr/bin/env bash
# Renews requirements.lock: one version of each package for all supported Pythons, every file's hash, no addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x build/lock/bin/uv ] || { python3 -m venv build/lock && build/lock/bin/pip install -q uv; }
{
    head -2 requirements.lock
    build/lock/bin/uv pip compile -q --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
        --no-header --no-annotate --upgrade --all-extras pyproject.toml
} > build/requirements.lock
mv build/requirements.lock requirements.lock
