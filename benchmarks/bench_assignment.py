"""Draw arms for ten million text ids: the package against DuckDB, hashlib and GrowthBook's SDK.

    python benchmarks/bench_assignment.py [--ids 10000000] [--rounds 5]

The loops in Python run over a part of the ids and are compared per id.
"""

import argparse
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from growthbook.core import gbhash

from uplift.assignment.growthbook import growthbook_hashes
from uplift.assignment.hashing import hash_units, hash_units_plain

RESULT = Path(__file__).parent / "results" / "assignment.md"
SALT = "spring_voucher:arm:1"
SEED = 7
LOOP_IDS = 300_000  # of the pure Python loops
CHECKED_IDS = 100_000
LIBRARIES = ("duckdb", "numpy", "numba", "pyarrow", "growthbook")


@dataclass(frozen=True)
class Method:
    """One way of hashing a column; `run` does it once."""

    name: str
    n_threads: int
    n_ids: int
    run: Callable[[], object]


@dataclass(frozen=True)
class Claim:
    """What is promised: `method` takes at most `bound` times the time of `peer`, per id."""

    method: str
    peer: str
    n_threads: int
    bound: float


def columns(n_ids: int) -> dict[str, pa.Array]:
    """The ids, by shape."""
    numbers = pa.array(np.arange(n_ids)).cast(pa.string())
    padded = pc.utf8_lpad(numbers, 9, "0")
    hexadecimal = np.random.default_rng(SEED).bytes(16 * n_ids).hex()
    uuids = pa.Array.from_buffers(
        pa.large_string(),
        n_ids,
        [
            None,
            pa.py_buffer(np.arange(0, 32 * (n_ids + 1), 32)),
            pa.py_buffer(hexadecimal.encode()),
        ],
    )
    foreign = pc.equal(pc.bit_wise_and(pa.array(np.arange(n_ids)), 7), 0)
    accented = pc.binary_join_element_wise("José-客🛒", padded, "")
    plain = pc.binary_join_element_wise("c", padded, "")
    return {
        "c000000001": plain.cast(pa.large_string()),
        "32 hexadecimal digits": uuids,
        "1 in 8 not ASCII": pc.if_else(foreign, accented, plain).cast(pa.large_string()),
    }


def md5_methods(ids: pa.Array, connection: duckdb.DuckDBPyConnection) -> list[Method]:
    part = ids[:LOOP_IDS].to_pylist()
    query = f"select count(md5('{SALT}:' || id)) from ids"

    def in_duckdb(n_threads: int) -> Callable[[], object]:
        def run() -> object:
            connection.execute(f"set threads = {n_threads}")
            return connection.execute(query).fetchall()

        return run

    def ours(n_threads: int) -> Callable[[], object]:
        return lambda: hash_units(ids, salt=SALT, n_threads=n_threads)

    return [
        Method("hashlib loop", 1, len(part), lambda: hash_units_plain(part, salt=SALT)),
        *(Method("DuckDB md5", n, len(ids), in_duckdb(n)) for n in (1, 2)),
        *(Method("uplift", n, len(ids), ours(n)) for n in (1, 2)),
    ]


def growthbook_methods(ids: pa.Array) -> list[Method]:
    part = ids[:LOOP_IDS].to_pylist()

    def ours(n_threads: int) -> Callable[[], object]:
        return lambda: growthbook_hashes(ids, seed="spring", n_threads=n_threads)

    return [
        Method("GrowthBook SDK loop", 1, len(part), lambda: [gbhash("spring", u, 2) for u in part]),
        *(Method("uplift, as GrowthBook v2", n, len(ids), ours(n)) for n in (1, 2)),
    ]


CLAIMS = (
    Claim("uplift", "DuckDB md5", 1, 1.3),
    Claim("uplift", "DuckDB md5", 2, 1.3),
    Claim("uplift", "hashlib loop", 1, 1 / 5),
    Claim("uplift, as GrowthBook v2", "GrowthBook SDK loop", 1, 1 / 50),
)


def check_equal(ids: pa.Array, connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse to time methods that do not compute the same."""
    every = max(len(ids) // CHECKED_IDS, 1)
    rows = pa.array(np.arange(0, len(ids), every))
    part = ids.take(rows).to_pylist()
    connection.register("part", pa.table({"id": part}))
    digests = connection.execute(f"select md5('{SALT}:' || id) from part").fetchall()
    expected = np.array([int(digest[:16], 16) for (digest,) in digests], dtype=np.uint64)
    assert (hash_units(ids, salt=SALT)[::every] == expected).all()
    assert (hash_units_plain(part, salt=SALT) == expected).all()
    split = [gbhash("spring", unit, 2) for unit in part]
    assert growthbook_hashes(ids, seed="spring")[::every].tolist() == split


def best_seconds(methods: list[Method], rounds: int) -> dict[Method, float]:
    """The best round of each method; the methods take turns."""
    best = dict.fromkeys(methods, float("inf"))
    for _ in range(rounds):
        for method in methods:
            start = time.perf_counter()
            method.run()
            best[method] = min(best[method], time.perf_counter() - start)
    return best


def peak_memory(work: Callable[[], object]) -> int:
    """Most bytes the process held while it worked, beyond what it held before."""
    page, done, peak = os.sysconf("SC_PAGE_SIZE"), threading.Event(), [0]

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    def watch() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], resident())
            time.sleep(0.001)

    before = resident()
    watcher = threading.Thread(target=watch)
    watcher.start()
    kept = work()
    peak[0] = max(peak[0], resident())
    done.set()
    watcher.join()
    del kept
    return peak[0] - before


def memory_rows(ids: pa.Array, shape: str) -> list[str]:
    rows = []
    for name, work in (
        ("uplift", lambda: hash_units(ids, salt=SALT)),
        ("uplift, as GrowthBook v2", lambda: growthbook_hashes(ids, seed="spring")),
    ):
        extra = peak_memory(work)
        rows.append(
            f"| {shape} | {name} | {ids.nbytes / 2**20:.0f} | {extra / 2**20:.0f} | "
            f"{extra / ids.nbytes:.2f} | < 2 |"
        )
    return rows


def time_rows(shape: str, seconds: dict[Method, float]) -> list[str]:
    return [
        f"| {shape} | {method.name} | {method.n_threads} | {method.n_ids:,} | {taken:.3f} | "
        f"{taken / method.n_ids * 1e9:.1f} |"
        for method, taken in seconds.items()
    ]


def claim_rows(shape: str, seconds: dict[Method, float]) -> list[str]:
    per_id = {(m.name, m.n_threads): taken / m.n_ids for m, taken in seconds.items()}
    rows = []
    for claim in CLAIMS:
        ratio = per_id[claim.method, claim.n_threads] / per_id[claim.peer, claim.n_threads]
        kept = "yes" if ratio <= claim.bound else "**no**"
        rows.append(
            f"| {shape} | {claim.method} / {claim.peer} | {claim.n_threads} | {ratio:.3f} "
            f"({1 / ratio:.1f} times as fast) | at most {claim.bound:.3f} | {kept} |"
        )
    return rows


def head(n_ids: int, rounds: int) -> str:
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else processor
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        "# Drawing arms\n\n"
        f"Machine: {processor}, {os.cpu_count()} cores, {platform.system()}. "
        f"Python {platform.python_version()}, {versions}.\n"
        f"{n_ids:,} ids (loops in Python: {LOOP_IDS:,}), seed {SEED}, salt `{SALT}`, best of "
        f"{rounds} rounds in turn. Values of all methods compared before timing. DuckDB counts its "
        "digests and keeps none; uplift returns the column of values."
    )


def heading(title: str, *names: str) -> list[str]:
    return [f"\n## {title}\n", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def report(n_ids: int, rounds: int) -> str:
    times, claims, memory = [], [], []
    for shape, ids in columns(n_ids).items():
        with duckdb.connect() as connection:
            connection.register("arrow_ids", pa.table({"id": ids}))
            connection.execute("create table ids as select id from arrow_ids")
            check_equal(ids, connection)
            memory += memory_rows(ids, shape)
            seconds = best_seconds(md5_methods(ids, connection) + growthbook_methods(ids), rounds)
        times += time_rows(shape, seconds)
        claims += claim_rows(shape, seconds)
    parts = [
        head(n_ids, rounds),
        *heading("Time", "ids", "method", "threads", "n ids", "seconds", "ns per id"),
        *times,
        *heading("Ratios", "ids", "time per id", "threads", "ratio", "promised", "kept"),
        *claims,
        *heading(
            "Memory", "ids", "method", "column, MiB", "peak beyond it, MiB", "ratio", "promised"
        ),
        *memory,
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    text = report(options.ids, options.rounds)
    sys.stdout.write(text)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text)
