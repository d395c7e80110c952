#!/usr/bin/env bash
# Prints the interpreter for a new environment: the one asked for, else python3, else the newest of 3.14 to 3.11.
set -euo pipefail

usable='
import sys, sysconfig, os
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    sys.exit(1)
import venv, ensurepip
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
sys.exit(0 if os.path.exists(header) else 2)
'
headers=""
for name in ${1:-python3 python3.14 python3.13 python3.12 python3.11}; do
    code=0
    "$name" -c "$usable" >/dev/null 2>&1 || code=$?
    if [ "$code" = 0 ]; then
        if ! command -v "${CC:-cc}" >/dev/null; then
            echo "make: no C compiler found. Install one (Debian, Ubuntu: apt install build-essential) or set CC." >&2
            exit 4
        fi
        echo "$name"
        exit 0
    fi
    [ "$code" != 2 ] || headers="$headers $name"
done
if [ -n "$headers" ]; then
    echo "make:$headers found, but not its header Python.h. Install it (Debian, Ubuntu: apt install python3-dev)." >&2
else
    echo "make: no Python 3.11 to 3.14 with venv found${1:+ as $1}. Install one (Debian, Ubuntu: apt install python3-venv" \
        "python3-dev), or name it: make build PYTHON=/path/to/python3.12" >&2
fi
exit 4
