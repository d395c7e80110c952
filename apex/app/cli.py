"""The `apex` command: finds the subcommand, loads only its module, and turns what happens into output and exit code."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import apex
from apex.app.console import QUIET, Outcome, common_options
from apex.domain.errors import ApexError, ConfigError, EnvironmentProblem

COMMANDS = {
    "import": "recordings to a tape",
    "generate": "a seeded market from order flow to a tape",
    "tape": "look at a tape: info, bbo, head, verify; export, cut, merge, levels",
    "facts": "stylised facts of tapes, beside each other",
    "features": "microstructure features of a tape as columns of a file",
    "intensity": "trade arrivals by distance from the mid, fitted for market makers",
    "replay": "replay tapes through the engine with a strategy",
    "sweep": "replay tapes at every point of a grid of parameters",
    "compare": "what differs between two replays, and what it cost",
    "why": "what happened at a time of a replay, and why",
    "latency": "order latencies from a tape's feed latencies",
    "calibrate": "queue model and latencies from own fills, with a band on P&L",
    "bench": "the benchmark suite with peers side by side",
    "doctor": "machine, build, versions, clock, disk",
}
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class Once(argparse.Action):
    """Keeps a value; an option that is given twice is an error, not a silent change of mind."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        given: set[str] = namespace.__dict__.setdefault("_given", set())
        if option_string is not None and self.dest in given:
            raise argparse.ArgumentError(self, "given twice: give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of exiting, and guesses what was meant."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self.register("action", None, Once)
        self.register("action", "store", Once)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Nothing is left over for the parser above: it does not know the options of this one."""
        found, extra = super().parse_known_args(args, namespace)
        if extra:
            self.error(f"unrecognized arguments: {' '.join(extra)}")
        return found, extra

    def error(self, message: str) -> NoReturn:
        named = re.fullmatch(r"argument (.+?): (.*)", message, re.DOTALL)
        where, what = (named[1], named[2]) if named else (self.prog, message)
        raise ConfigError(what, where, self._remedy(message))

    def _remedy(self, message: str) -> str:
        options = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        if choice := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            near = difflib.get_close_matches(choice[1], re.findall(r"[\w:-]+", choice[2]), 1)
        elif unknown := re.search(r"unrecognized arguments:.*?(--[\w-]+)", message):
            near = difflib.get_close_matches(unknown[1], options, 1)
        else:
            near = []
        return f"Did you mean {near[0]}?" if near else f"See: {self.prog} --help"


def _available() -> dict[str, str]:
    """The commands whose modules are here; looks at names of files only, imports nothing."""
    here = Path(__file__).parent
    return {name: text for name, text in COMMANDS.items() if any(here.glob(f"{name}_command.*"))}


def _parser(chosen: str | None) -> Parser:
    """The whole command line; only the chosen command declares its options."""
    parser = Parser(prog="apex", description="A trading engine: what you replay is what you run.")
    parser.add_argument("--version", action="store_true", help="print the version")
    common_options(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, text in _available().items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == chosen:
            common_options(sub)
            importlib.import_module(f"apex.app.{name}_command").add_arguments(sub)
    return parser


def _command(argv: Sequence[str]) -> str | None:
    """The first word that is no option; ConfigError with a guess when no command has that name."""
    word = next((a for a in argv if not a.startswith("-")), None)
    known = _available()
    if word is None or word in known:
        return word
    near = difflib.get_close_matches(word, known, 1)
    raise ConfigError(f"there is no command {word!r}", "apex",
                      f"Did you mean {near[0]}?" if near else f"The commands are: {', '.join(known)}")


def _run(argv: Sequence[str]) -> tuple[argparse.Namespace, Outcome]:
    chosen = _command(argv)
    parser = _parser(chosen)
    args = parser.parse_args(argv)
    if args.version:
        return args, Outcome({"version": apex.__version__}, f"apex {apex.__version__}")
    if chosen is None:
        parser.print_help(sys.stderr)
        raise ConfigError("no command given", "apex", "Name one of the commands above")
    QUIET.set(getattr(args, "quiet", False))
    return args, importlib.import_module(f"apex.app.{chosen}_command").run(args)


def dump(value: Any) -> bytes:
    """One JSON value: NaN and infinities are null, numpy values and paths are understood."""
    import orjson

    def other(item: Any) -> Any:
        if isinstance(item, Path):
            return str(item)
        if hasattr(item, "__struct_fields__"):
            return {name: getattr(item, name) for name in item.__struct_fields__}
        raise TypeError(f"{type(item).__name__} has no JSON form")

    return orjson.dumps(value, default=other, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def _print_json(value: Any) -> None:
    sys.stdout.buffer.write(dump(value) + b"\n")
    sys.stdout.flush()


def _show(outcome: Outcome) -> None:
    if callable(outcome.text):
        from apex.app.console import console

        outcome.text(console())
    elif outcome.text:
        print(outcome.text)
    sys.stdout.flush()


def _print_error(code: str, what: str, where: str, do: str) -> None:
    try:
        _print_json({"error": {"code": code, "what": what, "where": where, "do": do}})
    except BrokenPipeError:
        _forget_stdout()
    except OSError:
        _forget_stdout()
        print(f"apex: {what}", file=sys.stderr)


def _fail(error: ApexError, as_json: bool, verbose: bool) -> int:
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    if as_json:
        _print_error(error.code, error.what, error.where, error.do)
    else:
        place = f"\n  where: {error.where}" if error.where else ""
        remedy = f"\n  do:    {error.do}" if error.do else ""
        print(f"apex: {error.what}{place}{remedy}", file=sys.stderr)
    return error.exit_code


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM unwinds like an exception, so that temporary files go and locks are given back."""
    raise SystemExit(EXIT_TERMINATED)


def _forget_stdout() -> None:
    """Nothing may be flushed at exit to a stdout that cannot take it: its reader has gone, or its disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refused(error: OSError, as_json: bool, verbose: bool) -> int:
    """The system refused something that no command expected, such as the disk that stdout goes to."""
    problem = EnvironmentProblem(f"the system refused: {error.strerror or error}", str(error.filename or ""),
                                 "Check disk space, permissions and where the output goes")
    try:
        sys.stdout.flush()
    except OSError:
        _forget_stdout()
        as_json = False
    return _fail(problem, as_json, verbose)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (docs: 0 done, 1 unequal, 2 usage, 3 input, 4 environment, 130)."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    verbose = "-v" in words or "--verbose" in words
    previous = signal.signal(signal.SIGTERM, _terminate)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it was closed when we began
    try:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():  # what a strategy prints is not the answer
            args, outcome = _run(words)
        if getattr(args, "json", False):
            _print_json(outcome.value)
        else:
            _show(outcome)
        return outcome.exit_code
    except ApexError as error:
        return _fail(error, as_json, verbose)
    except BrokenPipeError:
        _forget_stdout()
        return 0
    except OSError as error:
        return _refused(error, as_json, verbose)
    except KeyboardInterrupt:
        if as_json:
            _print_error("interrupted", "interrupted", "", "Run it again")
        print("apex: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        if as_json:
            _print_error("internal", f"{type(error).__name__}: {error}", "",
                         "This is a defect of APEX: report it with the traceback")
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
