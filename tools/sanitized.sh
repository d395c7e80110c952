#!/usr/bin/env bash
# Runs Python with the sanitizers' libraries loaded: tools/sanitized.sh -m pytest ... in a tree built with
# APEX_BUILD=sanitize. PYTHONMALLOC=malloc, since Python's own allocator hides overruns; leaks are not looked for, since
# Python keeps memory until it ends. A finding ends the process.
set -euo pipefail
compiler="${CC:-cc}"
asan=$("$compiler" -print-file-name=libasan.so)
ubsan=$("$compiler" -print-file-name=libubsan.so)
if [ ! -e "$asan" ] || [ ! -e "$ubsan" ]; then
    echo "sanitized.sh: $compiler has no libasan.so and libubsan.so: install gcc's sanitizer libraries" >&2
    exit 4
fi
export PYTHONMALLOC=malloc APEX_BUILD=sanitize
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:allocator_may_return_null=1"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"
LD_PRELOAD="$asan $ubsan" exec "${PYTHON:-python3}" "$@"
