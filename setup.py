"""Build of the compiled core. The Cython directives of every module stand here and nowhere else.

APEX_BUILD  release (default) | checked (bounds, None and initialisation checks) | sanitize (ASan + UBSan) |
            trace (line tracing and gcov, for coverage) | mutants (sources with planted faults, see tools/mutants);
            all but release are built in a copy of the checkout, by the make targets of their names
APEX_MARCH  opt-in instruction set, e.g. x86-64-v3; named in benchmark results
APEX_ONLY   comma-separated module names (book,risk): build only those, for work on one module; loops of the benchmarks
            (benchmarks/harness) are built only when they are named
"""

import os
import sys
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

BUILD = os.environ.get("APEX_BUILD", "release")
BUILDS = ("release", "checked", "sanitize", "trace", "mutants")
if BUILD not in BUILDS:
    sys.exit(f"APEX_BUILD={BUILD}: expected one of {', '.join(BUILDS)}")
if (BUILD == "mutants") != Path("apex/_core/mutant.h").exists():
    sys.exit("APEX_BUILD=mutants is for sources with planted faults, and they for it: make mutants")
CHECKED = BUILD == "checked"
TRACED = BUILD == "trace"

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": CHECKED,
    "wraparound": False,
    "initializedcheck": CHECKED,
    "nonecheck": CHECKED,
    "overflowcheck": False,
    "cdivision": True,
    "embedsignature": True,
    "embedsignature.format": "python",
    "linetrace": TRACED,
}
COMPILE = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-g0", "-Wno-unreachable-code"]
LINK: list[str] = ["-s"]
MACROS: list[tuple[str, str | None]] = []
if BUILD == "sanitize":
    # Python's own flags have -fwrapv, which hides signed overflow. A finding ends the process: no test passes over it.
    COMPILE = ["-O1", "-g", "-ffp-contract=off", "-fno-wrapv", "-fno-omit-frame-pointer",
               "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    LINK = ["-fsanitize=address,undefined"]
if BUILD == "trace":
    COMPILE = ["-O0", "-g0", "-ffp-contract=off", "--coverage"]
    LINK = ["--coverage"]
    MACROS = [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_TRACE", "1")]
if BUILD == "mutants":
    COMPILE = ["-O1", "-g0", "-ffp-contract=off", "-fno-math-errno"]
if march := os.environ.get("APEX_MARCH"):
    COMPILE.append(f"-march={march}")

only = set(filter(None, os.environ.get("APEX_ONLY", "").split(",")))
folders = ("apex/_core", "benchmarks/harness") if only else ("apex/_core",)
extensions = [
    Extension(
        str(path.with_suffix("")).replace(os.sep, "."),
        [str(path)],
        include_dirs=[numpy.get_include(), "apex/_core"],
        extra_compile_args=COMPILE,
        extra_link_args=LINK,
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
            ("APEX_BUILD_NAME", f'"{BUILD}"'),
            ("APEX_FLAGS_TEXT", f'"{" ".join(COMPILE)}"'),
            *MACROS,
        ],
    )
    for path in sorted(path for folder in folders for path in Path(folder).rglob("*.pyx"))
    if not only or path.stem in only
]

setup(
    ext_modules=cythonize(
        extensions,
        # Coverage looks for the C beside the source; the sanitizers have the same C as the release.
        build_dir=None if TRACED else f"build/cython-{'release' if BUILD == 'sanitize' else BUILD}",
        compiler_directives=DIRECTIVES,
        annotate=bool(os.environ.get("APEX_ANNOTATE")),
        force=bool(os.environ.get("APEX_FORCE")),
        show_all_warnings=False,
    ),
)
