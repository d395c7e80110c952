#!/usr/bin/env bash
# Renews requirements.lock, and docs/requirements.lock beside it: one version of each package for all supported Pythons,
# every file's hash, no addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x build/lock/bin/uv ] || { python3 -m venv build/lock && build/lock/bin/pip install -q uv; }
compile() {
    build/lock/bin/uv pip compile -q --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
        --no-header --no-annotate --upgrade "$@"
}
{ head -2 requirements.lock; compile --all-extras pyproject.toml; } > build/requirements.lock
mv build/requirements.lock requirements.lock
{ head -2 docs/requirements.lock; compile -c requirements.lock --group pyproject.toml:docs; } > build/requirements.lock
mv build/requirements.lock docs/requirements.lock
