"""Replay of tapes: run, measure, and give the result with its numbers and tables."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from apex._core.engine import Strategy
from apex._core.risk import REASONS
from apex._core.simvenue import VENUE_REASONS
from apex.app.build import Replay, build_replay, streams
from apex.app.costs import costs
from apex.app.options import ReplayOptions, find_strategy, options_from
from apex.app.schedule import Schedule, read_schedule
from apex.app.venue import impact_cost
from apex.domain.decimals import money
from apex.domain.errors import ApexError, ConfigError, InputError, StrategyError
from apex.domain.instrument import Instrument
from apex.domain.params import Params
from apex.store.tape import Tape

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 1 << 16
ROWS = 1 << 12
"""Orders whose reasons are counted at once."""
ALLOWED = 1
LIQUIDATION = 5
"""Type of an order that the venue sends to close our position."""


class ReplayResult:
    """What a replay gave.

    Attributes
    ----------
    summary : dict
        The numbers, as `apex replay --json` prints them.
    instruments : list of Instrument
    order_rows, fill_rows, equity_rows, mark_rows : structured arrays
        The engine's own tables, integers.
    orders, fills, equity : DataFrame
        The same for people: decimals as floats, names instead of codes. Made on first use.
    """

    def __init__(self, run: Replay, tables: tuple[Any, ...], summary: dict[str, Any]) -> None:
        self.order_rows, self.fill_rows, self.equity_rows, self.mark_rows = tables
        self.instruments: list[Instrument] = run.instruments
        self.summary = summary
        self.file_ids: dict[int, int] = {}
        self.schedule = run.strategy if isinstance(run.strategy, Schedule) else None
        if isinstance(run.strategy, Schedule):
            rows = run.strategy.rows
            sent = [(s, r.id) for s, r in zip(run.strategy.sequence, rows, strict=True) if s >= 0]
            self.file_ids = {int(self.order_rows["id"][s]): file_id for s, file_id in sent}
        self._frames: dict[str, pd.DataFrame] = {}

    def _frame(self, name: str) -> pd.DataFrame:
        from apex.app import frames

        if name not in self._frames:
            self._frames[name] = getattr(frames, name)(self)
        return self._frames[name]

    @property
    def orders(self) -> pd.DataFrame:
        """One row an order intent, denied ones included."""
        return self._frame("orders")

    @property
    def fills(self) -> pd.DataFrame:
        """One row a fill."""
        return self._frame("fills")

    @property
    def equity(self) -> pd.DataFrame:
        """P&L, exposure and positions on a grid of one second."""
        return self._frame("equity")

    @cached_property
    def document(self) -> dict[str, Any]:
        """The summary with metrics, diagnosis and notes: what result.json and `apex replay --json` hold."""
        from apex.research import report

        return report.document(self)

    def report(self, directory: str | Path) -> Path:
        """Write report.html, result.json, the Parquet tables and a schedule's orders.csv; returns the page's path."""
        from apex.app.frames import write_orders_csv
        from apex.research import report

        folder, schedule = Path(directory), self.schedule
        page = report.write(self, folder)
        if schedule is None:
            (folder / "orders.csv").unlink(missing_ok=True)  # of an earlier run into the same folder
        else:
            strict = self.summary["fill_mode"] == "strict"
            report.replace(folder / "orders.csv", lambda part: write_orders_csv(self, schedule, part, strict=strict))
        return page

    def _repr_html_(self) -> str:
        from html import escape

        rows = [(k, self.summary[k]) for k in ("orders", "fills", "gross_pnl", "fees", "net_pnl", "result_hash")]
        return "<table>" + "".join(f"<tr><td>{k}</td><td>{escape(str(v))}</td></tr>" for k, v in rows) + "</table>"


OURS = ("apex/_core", str(Path("apex", "app")))
"""Files whose lines are not the strategy's."""


def _raised(error: BaseException, when: str) -> StrategyError:
    """What a strategy raised, with its own line before the time of the run."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if not any(part in f.filename for part in OURS)]
    line = f"{own[-1].filename}:{own[-1].lineno}" if own else ""
    remedy = f"Correct {Path(own[-1].filename).name}, line {own[-1].lineno}" if own else "Correct the strategy"
    trace = "".join(traceback.format_exception(error))
    return StrategyError(f"the strategy raised {error!r}", f"{line}, {when}" if line else when, f"{remedy}. {trace}")


def _strategy(given: Any, options: ReplayOptions) -> Strategy | None:
    """An instance from a class, a name, an instance, or nothing."""
    if given is None or isinstance(given, Strategy):
        return given
    kind = find_strategy(given) if isinstance(given, str) else given
    maker = getattr(kind, "Params", Params)
    try:
        made: Strategy = kind(maker(**options.params))
    except ApexError:
        raise
    except Exception as error:
        raise _raised(error, f"making a {kind.__name__}") from error
    return made


def _peak_rss() -> int | None:
    """Anonymous and shared memory of this process in bytes; None where the system does not say."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return sum(int(fields[k].split()[0]) for k in ("RssAnon", "RssShmem") if k in fields) * 1024


def _from_strategy(error: BaseException) -> bool:
    """Whether a SystemExit is the strategy's; a signal handler's comes from `apex.app`."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return not last.endswith(str(Path("apex", "app", "cli.py")))


def _run(run: Replay, progress: Callable[[int], None] | None, chunk: int) -> tuple[float, int | None]:
    """Drive the replay to its end, `chunk` batches at a time; seconds of engine time and the peak of memory."""
    peak, seconds, over = _peak_rss(), 0.0, False
    while not over:
        began = time.perf_counter()
        try:
            over = run.driver.run(chunk)
        except (KeyboardInterrupt, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            if isinstance(error, SystemExit) and not _from_strategy(error):
                raise
            where = f"tape position: {run.driver.rows_seen} rows, event time {run.engine.now}"
            if all("apex/_core" in frame.filename for frame in traceback.extract_tb(error.__traceback__)[1:]):
                if type(error) is LookupError:
                    raise InputError(str(error), where, "Give marks with the fundings") from error
                if isinstance(error, OverflowError):
                    raise InputError(str(error), where, "Trade smaller quantities, or set limits") from error
                raise  # nobody's but ours
            raise _raised(error, where) from error
        seconds += time.perf_counter() - began
        for number, batch in run.driver.positions():
            run.tapes[number].release(batch)
        now = _peak_rss()
        peak = None if now is None or peak is None else max(peak, now)
        if progress is not None:
            progress(run.driver.rows_seen)
    return seconds, peak


def _charges(run: Replay) -> list[tuple[int, int]]:
    """Funding and liquidation fees paid of each instrument, cash units."""
    accounts = [run.engine.ledger.account(i) for i in range(len(run.instruments))]
    return [(x["funding"], x["liquidation"]) for x in accounts]


def _hash(run: Replay, tables: tuple[Any, ...]) -> str:
    """BLAKE2b-256 over orders, fills and ledger in event order."""
    digest = hashlib.blake2b(digest_size=32)
    orders, fills = tables[0], tables[1]
    digest.update(orders)
    digest.update(fills)
    digest.update(run.engine.ledger.snapshot().tobytes())
    charges = _charges(run)
    if any(any(x) for x in charges):
        digest.update(repr(charges).encode())
    return digest.hexdigest()


def named(names: Mapping[int, str], codes: NDArray[Any]) -> NDArray[np.object_]:
    """Names of an array of codes."""
    found, places = np.unique(codes, return_inverse=True)
    return np.array([names[int(code)] for code in found], dtype=object)[places]


def order_reasons(orders: NDArray[Any]) -> NDArray[np.object_]:
    """Why each order was denied, or was not filled in full; empty for those that were."""
    short = orders["filled_lots"] < orders["quantity_lots"]
    reasons = np.where(short, named(VENUE_REASONS, orders["venue_reason"]), "")
    left = short & (reasons == "")
    answered = (orders["ts_ack_ns"] > 0) | (orders["filled_lots"] > 0)
    reasons[left] = np.where(answered[left], "resting_at_end", "in_flight")
    denied = orders["deny_reason"] != ALLOWED
    reasons[denied] = named(REASONS, orders["deny_reason"][denied])
    return reasons


def _unfilled(orders: NDArray[Any]) -> Counter[str]:
    """Why the orders that passed the gate were not filled in full."""
    counted: Counter[str] = Counter()
    for start in range(0, len(orders), ROWS):
        part = orders[start:start + ROWS]
        reasons = order_reasons(part[part["deny_reason"] == ALLOWED])
        counted.update(reasons[reasons != ""].tolist())
    return counted


def _drawdown(equity: Any) -> int:
    """Largest fall of net P&L from its peak on the grid, cash units; the peak starts at 0."""
    if not len(equity):
        return 0
    net = np.concatenate(([0], equity["net"]))
    return int((np.maximum.accumulate(net) - net).max())


def _summary(run: Replay, tables: tuple[Any, ...], seconds: float, peak: int | None) -> dict[str, Any]:
    orders, fills, equity, _ = tables
    engine, options = run.engine, run.options
    counted = run.gate.counters()
    reasons = dict(enumerate(np.bincount(orders["deny_reason"], minlength=max(REASONS) + 1).tolist()))
    passed = reasons[ALLOWED]
    denied_by = {name: reasons[code] for code, name in REASONS.items() if code != ALLOWED and reasons[code]}
    denied = len(orders) - passed
    last = equity[-1] if len(equity) else None
    funding, liquidated = (sum(column) for column in zip(*_charges(run), strict=True))
    gross, fees, spread = (int(last[k]) if last is not None else 0 for k in ("gross", "fees", "spread"))
    idle = {"no_order_made": engine.signals_idle, "cooldown": engine.signals.cooled}
    blocked_by = {**denied_by, **{name: count for name, count in idle.items() if count}}
    unfilled_by = _unfilled(orders)
    rows = run.driver.rows_seen
    return {
        "tapes": [t.path.name for t in run.tapes],
        "instruments": [{"symbol": i.symbol, "venue": i.venue, "tick": i.tick, "lot": i.lot, "kind": i.kind,
                         "multiplier": i.multiplier} for i in run.instruments],
        "strategy": None if run.strategy is None else type(run.strategy).__name__,
        "schedule": None if options.orders is None else Path(options.orders).name,
        "params": getattr(getattr(run.strategy, "params", None), "as_dict", dict)(),
        "fill_mode": options.fill_mode, "queue": options.queue, "partial_fills": options.partial_fills,
        "order_latency": options.latency or options.order_latency, "response_latency": options.response_latency,
        "cancel_latency": options.cancel_latency, "amend_latency": options.amend_latency,
        "cash": money(engine.cash_start), "maker_fee": float(options.maker_fee), "taker_fee": float(options.taker_fee),
        "limits": run.limits.as_dict(), "limits_profile": "scripted" if run.gate.scripted else "enforced",
        "would_have_denied_by": counted if run.gate.scripted else {},
        "events": rows, "ns_per_event": seconds * 1e9 / rows if rows else None,
        "events_per_second": rows / seconds if seconds else None, "seconds": seconds,
        "start_ts": run.driver.start_ns, "end_ts": run.driver.end_ns, "strategy_calls": engine.calls,
        "orders": passed, "fills": len(fills), "denied": denied, "unfilled": sum(unfilled_by.values()),
        "denied_by": denied_by, "unfilled_by": dict(unfilled_by), "requests_denied_by": run.gate.request_counters(),
        "signals": len(orders) + sum(idle.values()), "blocked": denied + sum(idle.values()),
        "blocked_by": blocked_by,
        "position": {x.symbol: x.quantity(engine.ledger.position(i)) for i, x in enumerate(run.instruments)},
        "spread_captured": money(spread), "inventory_pnl": money(gross - spread), "gross_pnl": money(gross),
        "fees": money(fees), "funding": money(funding), "liquidation_fees": money(liquidated),
        "liquidations": int((orders["type"] == LIQUIDATION).sum()),
        "impact_cost": money(sum(impact_cost(x, i) for x, i in zip(run.impacts, run.instruments, strict=True))),
        "halts": sum(v.halts_seen for v in run.venues), "venue": msgspec.to_builtins(run.rules),
        "net_pnl": money(gross - fees - funding - liquidated), "max_drawdown_money": money(_drawdown(equity)),
        "feed_shift_ns": run.shift_ns, "peak_rss_bytes": peak, "result_hash": _hash(run, tables),
    }


def open_tapes(paths: Sequence[str | Path]) -> list[Tape]:
    """Open every tape of a run; none stays open if one fails."""
    opened: list[Tape] = []
    try:
        for path in paths:
            opened.append(Tape.open(Path(path)))
    except BaseException:
        for tape in opened:
            tape.close()
        raise
    return opened


def _ended(tapes: list[Tape], given: Any, options: ReplayOptions, progress: Callable[[int], None] | None,
           chunk: int) -> tuple[Replay, float, int | None]:
    """A replay that has run to its end, the seconds of its engine and its peak of memory."""
    if given is not None and options.orders is not None:
        raise ConfigError("--strategy and --orders exclude each other", "--orders", "Give one of them")
    strategy: Strategy | None
    if options.orders is not None:
        instruments, _, _ = streams(tapes, options.instrument)
        strategy = Schedule(read_schedule(Path(options.orders), instruments))
    else:
        strategy = _strategy(given, options)
    run = build_replay(tapes, strategy, options)
    for tape in tapes:
        tape.release(len(tape.batches))  # the pages that the check of all batches has touched
    return run, *_run(run, progress, chunk)


def run_replay(tapes: list[Tape], given: Any, options: ReplayOptions,
               progress: Callable[[int], None] | None = None) -> ReplayResult:
    """Replay opened tapes; see `replay`."""
    run, seconds, peak = _ended(tapes, given, options, progress, CHUNK)
    tables = run.engine.tables()
    return ReplayResult(run, tables, {**_summary(run, tables, seconds, peak), **costs(run, tables[1])})


def run_summary(tapes: list[Tape], given: Any, options: ReplayOptions,
                progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """The summary of a replay and nothing else, for many of them at a time: no table is copied, few pages are held."""
    run, seconds, peak = _ended(tapes, given, options, progress, CHUNK // 4)
    return _summary(run, run.engine.tables(copy=False), seconds, peak)


def replay(tapes: str | Path | Sequence[str | Path], strategy: Any = None, *, out: str | Path | None = None,
           **options: Any) -> ReplayResult:
    """Replay one or more tapes with a strategy.

    Parameters
    ----------
    tapes : path or list of paths
        Several tapes are several instruments on one clock.
    strategy : class, instance or "module:Class"
        Subclass of apex.Strategy; None replays without orders.
    out : path, optional
        Folder for the report and its tables.
    **options
        Fields of `apex.app.options.ReplayOptions`: the command line's options with `_` for `-`. Numbers are taken as
        they print: `maker_fee=0.0002` is exactly 0.0002.

    Returns
    -------
    ReplayResult

    Raises
    ------
    ConfigError, InputError, StrategyError
    """
    chosen = options_from(options)
    opened = open_tapes([tapes] if isinstance(tapes, str | Path) else tapes)
    try:
        result = run_replay(opened, strategy, chosen)
    finally:
        for tape in opened:
            tape.close()
    if out is not None:
        result.report(out)
    return result

