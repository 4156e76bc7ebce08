"""The metrics of an experiment from one parquet file: uplift beside the floor and tea-tasting.

    python benchmarks/bench_moments.py [--rows 1000000 50000000] [--rounds 5] [--peers PYTHON]
                                       [--folder KEPT]

Ten metrics with a covariate each and two ratios; 24 columns of numbers, two arms. The floor is one
DuckDB query of plain sums of products, which no estimate can do without. tea-tasting runs in an
environment of its own (peers.txt); `--peers` is its python, and without it the row is left out.
Files are written to a temporary folder, or to one that is kept and read again.

Each method lives in a process of its own and they take turns, one call each a round; ratios are
taken within a round. Other work on the machine disturbs wall time, so processor time is beside it.
"""

import argparse
import contextlib
import datetime as dt
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "moments.md"
SEED = 7
THREADS = 2
WITH_COVARIATE = [f"y{k}" for k in range(10)]
COVARIATES = [f"x{k}" for k in range(10)]
RATIOS = [(f"n{k}", f"d{k}") for k in range(2)]
COLUMNS = [*WITH_COVARIATE, *COVARIATES, *(name for pair in RATIOS for name in pair)]
COVARIANCES = [*zip(WITH_COVARIATE, COVARIATES, strict=True), *RATIOS]
KINDS = ("money", "visits", "score", "amount", "share")  # of the columns, in turn
DAYS, SEGMENTS, STORED_COLUMNS = 90, 50, 12  # of the store
FRESH_PROCESSES = 5  # of a short scan; of a long one, which hides the start, 2 for their memory
SHORT = 5_000_000  # rows
MIB = 2**20

# ---- what is measured; each runs in a process of its own, tea-tasting without uplift


def sums_query(path: str, aggregates: Sequence[str]) -> str:
    return f"SELECT arm, count(*), {', '.join(aggregates)} FROM read_parquet('{path}') GROUP BY arm"


def in_duckdb(path: str, threads: int, aggregates: Sequence[str]) -> list[tuple[Any, ...]]:
    import duckdb

    with duckdb.connect(config={"threads": threads}) as connection:
        return sorted(connection.execute(sums_query(path, aggregates)).fetchall())


def floor(path: str, threads: int) -> list[tuple[Any, ...]]:
    double = {name: f"CAST({name} AS DOUBLE)" for name in COLUMNS}
    pairs = [*((name, name) for name in COLUMNS), *COVARIANCES]
    sums = [f"sum({x})" for x in double.values()]
    return in_duckdb(path, threads, sums + [f"sum({double[a]} * {double[b]})" for a, b in pairs])


def own_variances(path: str, threads: int) -> list[tuple[Any, ...]]:
    double = {name: f"CAST({name} AS DOUBLE)" for name in COLUMNS}
    wanted = [f"avg({x}), var_samp({x})" for x in double.values()]
    wanted += [f"covar_samp({double[a]}, {double[b]})" for a, b in COVARIANCES]
    return in_duckdb(path, threads, wanted)


def uplift_effects(path: str, threads: int, **expressions: Any) -> dict[str, float]:
    from uplift.aggregate import aggregate

    found = aggregate(path, columns=COLUMNS, covariances=COVARIANCES, threads=threads)
    return effects_of(found)


def effects_of(found: Any) -> dict[str, float]:
    from uplift.inference.ratios import ratio
    from uplift.inference.regression_adjustment import lin

    arms = (found.cell(arm="email"), found.cell(arm="control"))
    everyone = arms[0] + arms[1]
    effects = {
        y: lin(*arms, column=y, covariates=[x], population=everyone, confidence=0.95)
        for y, x in zip(WITH_COVARIATE, COVARIATES, strict=True)
    }
    effects |= {
        f"{n}/{d}": ratio(*arms, numerator=n, denominator=d, confidence=0.95) for n, d in RATIOS
    }
    return {name: estimate.effect for name, estimate in effects.items()}


def as_tea_tasting(found: Any) -> dict[str, float]:
    """The same in its own way (CUPED with one slope), to compare."""
    from uplift.inference.parity.tea_tasting import mean_test, ratio_test

    arms = (found.cell(arm="email"), found.cell(arm="control"))
    pairs = zip(WITH_COVARIATE, COVARIATES, strict=True)
    effects = {y: mean_test(*arms, column=y, covariate=x).effect for y, x in pairs}
    return effects | {
        f"{n}/{d}": ratio_test(*arms, numerator=n, denominator=d).effect for n, d in RATIOS
    }


def uplift_moments(path: str, threads: int) -> Any:
    from uplift.aggregate import aggregate

    return aggregate(path, columns=COLUMNS, covariances=COVARIANCES, threads=threads)


def uplift_skewed(path: str, threads: int) -> Any:
    from uplift.aggregate import aggregate

    options = {"columns": COLUMNS, "covariances": COVARIANCES, "threads": threads}
    return aggregate(path, skewed=["y0", "y1"], **options)


def uplift_capped(path: str, threads: int) -> Any:
    from uplift.aggregate import aggregate, capped

    columns = [*COLUMNS, capped("y0", 50.0), capped("y1", 50.0)]
    return aggregate(path, columns=columns, covariances=COVARIANCES, threads=threads)


def uplift_report(path: str, threads: int) -> Any:
    """The whole report: money, balance, third moments and all checks."""
    from uplift.analysis.pushed_down import analyse_table
    from uplift.experiment import experiment_from
    from uplift.strict_yaml import parse_yaml

    return analyse_table(experiment_from(parse_yaml(definition())), path, threads=threads)


def definition() -> str:
    def metric(name: str, kind: str) -> str:
        return (
            f"{{name: {name}, version: 1, title: {name}, column: {name}, {kind}, unit: one, "
            "window_days: 28, owner: crm}"
        )

    kinds = {k: "kind: proportion, " if KINDS[k % 5] == "share" else "" for k in range(10)}
    metrics = [metric(f"y{k}", f"{kinds[k]}covariate: x{k}") for k in range(10)]
    metrics += [metric(n, f"kind: ratio, denominator: {d}") for n, d in RATIOS]
    others = "\n".join(f"    - metric: {one}" for one in metrics[1:])
    return f"""
id: campaign
title: Campaign
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: Everyone}}
arms:
  - {{name: control, share: 0.2}}
  - {{name: email, share: 0.8, unit_cost: 0.05}}
metrics:
  primary:
    metric: {metrics[0]}
  secondary:
{others}
schedule: {{starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 28}}
analysis: {{decision_rule: Scale what is proven.}}
money: {{currency: EUR, value: y0, margin_rate: 0.3}}
"""


def tea_tasting(path: str, threads: int) -> dict[str, float]:
    import ibis
    import tea_tasting as tt

    metrics = {y: tt.Mean(y, x) for y, x in zip(WITH_COVARIATE, COVARIATES, strict=True)}
    metrics |= {f"{n}/{d}": tt.RatioOfMeans(n, d) for n, d in RATIOS}
    table = ibis.duckdb.connect(threads=threads).read_parquet(path)
    result = tt.Experiment(metrics, variant="arm").analyze(table, control="control")
    return {name: result[name].effect_size for name in metrics}


METHODS: Mapping[str, Callable[[str, int], Any]] = {
    "floor": floor,
    "DuckDB's own variances": own_variances,
    "uplift": uplift_moments,
    "uplift and the effects": uplift_effects,
    "uplift, the whole report": uplift_report,
    "uplift, two third moments more": uplift_skewed,
    "uplift, two capped columns more": uplift_capped,
    "tea-tasting": tea_tasting,
}


def serve(name: str, path: str, threads: int) -> None:
    """Worker: one call per line of input, answered with its times."""
    for _ in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        METHODS[name](path, threads)
        taken = {"wall": time.perf_counter() - start, "cpu": time.process_time() - busy}
        print(json.dumps(taken), flush=True)


def once(name: str, path: str, threads: int) -> None:
    """Worker: one call in a fresh process, its imports counted; and the peak of its memory."""
    start, busy = time.perf_counter(), time.process_time()
    METHODS[name](path, threads)
    taken = {"wall": time.perf_counter() - start, "cpu": time.process_time() - busy}
    print(json.dumps(taken | {"peak": peak_memory()}), flush=True)


def peak_memory() -> int:
    """Bytes, of this program alone: `ru_maxrss` counts that of the process it was forked from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


# ---- the data


def uniform(salt: int) -> str:
    """In (0, 1]."""
    number = f"CAST(hash(i + {salt * 1_000_000_007 + SEED}::BIGINT) AS DOUBLE)"
    return f"(({number} + 1e0) / 18446744073709551617e0)"


def columns_of_a_campaign() -> list[str]:
    """Money that most do not spend, counts, scores, amounts and shares, each with its history."""
    columns = [f"CASE WHEN {uniform(0)} < 0.2 THEN 'control' ELSE 'email' END AS arm"]
    for k in range(10):
        size = f"sqrt(-2 * ln({uniform(10 * k + 1)})) * cos(2 * pi() * {uniform(10 * k + 2)})"
        now, before = uniform(10 * k + 4), uniform(10 * k + 6)
        chance, earlier = uniform(10 * k + 3), uniform(10 * k + 5)
        columns += {
            "money": [
                f"CASE WHEN {chance} < 0.1 THEN {_spent(size, now)} ELSE 0 END AS y{k}",
                f"CASE WHEN {earlier} < 0.3 THEN {_spent(size, before)} ELSE 0 END AS x{k}",
            ],
            "visits": [
                f"CAST(floor(exp(0.5 + 1.2 * {size})) AS INTEGER) AS y{k}",
                f"CAST(floor(exp(0.5 + 1.2 * {size}) + 3 * {before}) AS INTEGER) AS x{k}",
            ],
            "score": [f"2.5 + {size} + {now} AS y{k}", f"2.5 + {size} + {before} AS x{k}"],
            "amount": [
                f"round(-20 * ln({now}), 2) AS y{k}",
                f"round(-20 * ln({before}), 2) AS x{k}",
            ],
            "share": [f"({now} < 0.03) AS y{k}", f"({before} < 0.05) AS x{k}"],
        }[KINDS[k % len(KINDS)]]
    for k in range(2):
        orders = f"CAST(floor(-2 * ln({uniform(170 + k)})) AS INTEGER)"
        columns += [
            f"{orders} * (1 + CAST(floor(4 * {uniform(180 + k)}) AS INTEGER)) AS n{k}",
            f"{orders} AS d{k}",
        ]
    return columns


def _spent(size: str, chance: str) -> str:
    return f"round(exp(2.5 + 1.2 * {size}) * (0.5 + {chance}), 2)"


def write_campaign(path: Path, n_rows: int) -> None:
    import duckdb

    with duckdb.connect(config={"threads": THREADS}) as connection:
        connection.execute(
            f"COPY (SELECT {', '.join(columns_of_a_campaign())} "
            f"FROM (SELECT range AS i FROM range({n_rows}))) "
            f"TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        )


# ---- the measurements


@dataclass(frozen=True)
class Runner:
    """A method in a process of its own."""

    name: str
    threads: int
    python: str

    @property
    def label(self) -> str:
        return f"{self.name}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def command(self, mode: str, path: Path) -> list[str]:
        here = str(Path(__file__).resolve())
        return [self.python, here, mode, self.name, str(path), str(self.threads)]


def runners(peers: str | None) -> list[Runner]:
    names = [name for name in METHODS if name != "tea-tasting"]
    found = [Runner(name, THREADS, sys.executable) for name in names]
    found += [Runner(name, 1, sys.executable) for name in ("floor", "uplift")]
    return found + ([Runner("tea-tasting", THREADS, peers)] if peers else [])


@contextlib.contextmanager
def served(runner: Runner, path: Path) -> Iterator[Callable[[], dict[str, float]]]:
    """The method as a function that is called in its process."""
    command = runner.command("--serve", path)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None

        def call() -> dict[str, float]:
            print("go", file=worker.stdin, flush=True)
            return json.loads(worker.stdout.readline())

        yield call
        worker.stdin.close()


def in_turns(some: Sequence[Runner], path: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Times of each, warm: they take turns, every round in another order."""
    times: dict[str, list[dict[str, float]]] = {runner.label: [] for runner in some}
    with contextlib.ExitStack() as stack:
        calls = {runner.label: stack.enter_context(served(runner, path)) for runner in some}
        for call in calls.values():
            call()
        orders = itertools.cycle((list(calls), list(reversed(calls))))
        for _, order in zip(range(rounds), orders, strict=False):
            for label in order:
                times[label].append(calls[label]())
    return times


def fresh(runner: Runner, path: Path) -> dict[str, float]:
    done = subprocess.run(
        runner.command("--once", path), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratios(times: Mapping[str, list[dict[str, float]]], label: str, peer: str, kind: str) -> float:
    """Median over the rounds of one's time by the other's."""
    pairs = zip(times[label], times[peer], strict=True)
    return median([mine[kind] / theirs[kind] for mine, theirs in pairs])


def time_rows(times: Mapping[str, list[dict[str, float]]], n_rows: int) -> list[str]:
    peers = [f"floor, {THREADS} threads", f"tea-tasting, {THREADS} threads"]
    rows = []
    for label in times:
        cells = [f"{n_rows:,}", label]
        for kind in ("wall", "cpu"):
            cells.append(f"{median([taken[kind] for taken in times[label]]):.3f}")
        for peer in peers:
            if label.endswith("1 thread"):
                peer = peer.replace(f"{THREADS} threads", "1 thread")
            for kind in ("wall", "cpu"):
                known = peer in times
                cells.append(f"{ratios(times, label, peer, kind):.2f}" if known else "")
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def fresh_rows(some: Sequence[Runner], path: Path, warm: Mapping[str, Any], n: int) -> list[str]:
    wanted = (
        "floor", "uplift", "uplift and the effects", "uplift, the whole report", "tea-tasting",
    )  # fmt: skip
    chosen = [r for r in some if r.threads == THREADS and r.name in wanted]
    found: dict[str, list[dict[str, float]]] = {runner.label: [] for runner in chosen}
    for _ in range(FRESH_PROCESSES if n <= SHORT else 2):
        for runner in chosen:
            found[runner.label].append(fresh(runner, path))
    engine = median([one["peak"] for one in found[f"floor, {THREADS} threads"]])
    rows = []
    for label, runs in found.items():
        usual = {kind: median([one[kind] for one in warm[label]]) for kind in ("wall", "cpu")}
        beyond = [median([one[kind] for one in runs]) - usual[kind] for kind in ("wall", "cpu")]
        peak = median([one["peak"] for one in runs])
        rows.append(
            f"| {n:,} | {label} | {beyond[0]:.2f} | {beyond[1]:.2f} | {peak / MIB:.0f} | "
            f"{(peak - engine) / MIB:+.0f} |"
        )
    return rows


def store_rows(folder: Path, rounds: int) -> list[str]:
    """Reading kept moments: open, put together to arms, effects."""
    import numpy as np

    from uplift.aggregate import MomentsStore
    from uplift.aggregate.cells import Layout, MomentsTable
    from uplift.inference.means import welch
    from uplift.inference.moments import CellMoments, pairs_of

    rng = np.random.default_rng(SEED)
    names = tuple(f"c{i}" for i in range(STORED_COLUMNS))
    pairs = pairs_of(names, itertools.pairwise(names[:6]))
    store = MomentsStore(folder / "moments.parquet")
    n = 2 * SEGMENTS
    first = dt.date(2026, 1, 1)
    layout = Layout(("arm", "segment", "day"), names, pairs)
    start = time.perf_counter()
    for day in range(DAYS):
        date = first + dt.timedelta(days=day)
        keys = tuple((arm, s, date) for arm in ("control", "email") for s in range(SEGMENTS))
        mean = rng.lognormal(size=(n, len(names)))
        comoment = rng.lognormal(size=(n, len(pairs))) * 1e4
        cells = CellMoments(np.full(n, 500.0), mean, mean * 1e-17, comoment, np.zeros((n, 0)))
        store.put(MomentsTable(layout, keys, cells), batch=date.isoformat())
    put = (time.perf_counter() - start) / DAYS

    def read(by: list[str], **values: Any) -> float:
        start = time.perf_counter()
        found = MomentsStore(store.path).read(by, **values)
        cells = [cell for _, cell in found.cells()]
        half = len(cells) // 2
        for control, email in zip(cells[:half], cells[half:], strict=True):
            for name in names:
                welch(email, control, column=name, confidence=0.95)
        return time.perf_counter() - start

    last_week = {"day": lambda day: day >= first + dt.timedelta(days=DAYS - 7)}
    rows = []
    for what, bound, work in (
        ("arms, all days, 12 effects", "50", lambda: read(["arm"])),
        ("arms, last week, 12 effects", "", lambda: read(["arm"], **last_week)),
        ("arms and segments, 600 effects", "", lambda: read(["arm", "segment"])),
    ):
        taken = median([work() for _ in range(5 * rounds)][rounds:])
        rows.append(f"| {what} | {taken * 1e3:.1f} | {bound} |")
    return [*rows, f"| one more day put (whole file written and synced) | {put * 1e3:.1f} | |"]


def check_equal(path: Path, peers: str | None) -> None:
    """Correctness before speed: all methods tell the same."""
    table = uplift_moments(str(path), THREADS)
    for row, (_, cell) in zip(floor(str(path), THREADS), table.cells(), strict=True):
        sums = dict(zip(COLUMNS, row[2 : 2 + len(COLUMNS)], strict=True))
        assert cell.count == row[1]
        for name, total in sums.items():
            assert abs(cell.mean_of(name) - total / row[1]) <= 1e-9 * cell.variance(name) ** 0.5
    rows = own_variances(str(path), THREADS)
    for row, (_, cell) in zip(rows, table.cells(), strict=True):
        variances = dict(zip(COLUMNS, row[3 : 3 + 2 * len(COLUMNS) : 2], strict=True))
        for name, variance in variances.items():
            assert abs(cell.variance(name) / variance - 1) < 1e-9, name
    if peers:
        call = f"b.tea_tasting({str(path)!r}, 2)"
        code = f"import bench_moments as b; print(__import__('json').dumps({call}))"
        done = subprocess.run(
            [peers, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        )
        theirs = json.loads(done.stdout)
        for name, effect in as_tea_tasting(table).items():
            assert abs(effect / theirs[name] - 1) < 1e-6, name


def processor() -> str:
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        return names[0] if names else platform.machine()
    return platform.processor() or platform.machine()


def head(rows: Sequence[int], rounds: int, sizes: Sequence[int], peers: str | None) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "numpy", "pyarrow"))
    if peers:
        code = "from importlib.metadata import version as v; "
        code += (
            "print(', '.join(f'{n} {v(n)}' for n in ('tea-tasting', 'ibis-framework', 'duckdb')))"
        )
        done = subprocess.run([peers, "-c", code], capture_output=True, text=True, check=True)
        versions += f"; peers: {done.stdout.strip()}"
    files = ", ".join(
        f"{n:,} rows ({size / MIB:,.0f} MiB)" for n, size in zip(rows, sizes, strict=True)
    )
    return (
        "# Moments\n\n"
        f"Machine: {processor()}, {os.cpu_count()} cores, {platform.system()}; load at the start "
        f"{os.getloadavg()[0]:.1f}. Python {platform.python_version()}, {versions}.\n"
        f"Parquet of {files}, 24 columns of numbers, two arms, seed {SEED}. Ten metrics with a "
        f"covariate each, two ratios. Medians of {rounds} rounds in turn, warm; ratios are "
        "medians of the ratios within a round. Values of all methods compared before timing."
    )


def table(title: str, names: Sequence[str], rows: Sequence[str]) -> str:
    marks = "|".join("---" if name in ("rows", "method", "read") else "--:" for name in names)
    return "\n".join([f"\n## {title}\n", f"| {' | '.join(names)} |", f"|{marks}|", *rows])


def claims(times: Mapping[str, list[dict[str, float]]], n_rows: int) -> list[str]:
    mine, rows = f"uplift and the effects, {THREADS} threads", []
    for peer, bound in (
        (f"floor, {THREADS} threads", 1.2),
        (f"tea-tasting, {THREADS} threads", 0.7),
    ):
        if peer in times:
            wall, cpu = (ratios(times, mine, peer, kind) for kind in ("wall", "cpu"))
            kept = "yes" if min(wall, cpu) <= bound else "**no**"
            rows.append(
                f"| {n_rows:,} | {mine} / {peer} | {wall:.2f} | {cpu:.2f} | {bound} | {kept} |"
            )
    return rows


def report(sizes: Sequence[int], rounds: int, peers: str | None, folder: Path) -> str:
    files = [folder / f"campaign-{n}.parquet" for n in sizes]
    for path, n in zip(files, sizes, strict=True):
        if not path.exists():
            write_campaign(path, n)
    top = head(sizes, rounds, [path.stat().st_size for path in files], peers)
    check_equal(files[0], peers)
    times, kept, fresh_ones = [], [], []
    some = runners(peers)
    for path, n in zip(files, sizes, strict=True):
        found = in_turns(some, path, rounds)
        times += time_rows(found, n)
        kept += claims(found, n)
        fresh_ones += fresh_rows(some, path, found, n)
    names = ["rows", "method", "wall s", "CPU s", "/ floor", "CPU", "/ tea-tasting", "CPU"]
    first = ["rows", "method", "wall s beyond warm", "CPU s", "peak MiB", "above the floor's, MiB"]
    stored = f"Kept moments: {DAYS} days × {SEGMENTS} segments × 2 arms, {STORED_COLUMNS} columns"
    return "\n".join(
        [
            top,
            table("Time", names, times),
            table("Promised", ["rows", "method", "wall", "CPU", "at most", "kept"], kept),
            table("First call of a fresh process, its imports counted; memory", first, fresh_ones),
            table(stored, ["read", "ms", "at most"], store_rows(folder, rounds)),
            "",
        ]
    )


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] in ("--serve", "--once"):
        mode = serve if sys.argv[1] == "--serve" else once
        mode(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 50_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", help="python of an environment with peers.txt")
    parser.add_argument("--folder", help="where the files are kept, to be read again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        text = report(options.rows, options.rounds, options.peers, folder)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
