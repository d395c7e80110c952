#!/usr/bin/env bash
# Copies what a build and its suite need into the folder $1, times kept, so that a second build there is incremental.
set -euo pipefail
target=$1
mkdir -p "$target"
# Files that were removed here must not stay there; compiled modules and the C beside them may.
find "$target" -path "$target/build" -prune -o -type f -not -name '*.so' -exec rm -f {} +
tar -cf - --exclude='*.so' --exclude=__pycache__ --exclude=.pytest_cache \
    $(ls -d apex tests tools benchmarks config docs setup.py pyproject.toml .gitignore Makefile README.md CONTRIBUTING.md \
        CHANGELOG.md LICENSE 2>/dev/null) |
    tar -xf - -C "$target"
