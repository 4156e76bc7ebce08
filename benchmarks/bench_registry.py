"""Eight processes write into one registry, 200 times each: no error, no lost update, how fast?

    python benchmarks/bench_registry.py [--writers 8] [--writes 200]

Beside it, in the same run, the same writes by one process, and a counter that is read and written
without a transaction around both, as a plain file of numbers would be: it loses updates.
"""

import argparse
import multiprocessing
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psycopg  # noqa: E402
import sqlalchemy  # noqa: E402

from tests.postgres_server import running_postgres  # noqa: E402
from uplift.checks import blocked_by  # noqa: E402
from uplift.experiment import load_experiment  # noqa: E402
from uplift.registry.contents import find_row, insert_rows, update_row  # noqa: E402
from uplift.registry.registry import Registry  # noqa: E402
from uplift.registry.tables import leases  # noqa: E402

RESULT = Path(__file__).parent / "results" / "registry.md"
COUNTER = {"name": "counter"}
ID = "hillstrom_email"


@dataclass(frozen=True)
class Row:
    engine: str
    method: str
    n_writers: int
    n_acknowledged: int
    n_counted: int
    n_errors: int
    verifies: str
    seconds: float

    def line(self) -> str:
        lost = self.n_acknowledged - self.n_counted
        rate = self.n_acknowledged / self.seconds
        return (
            f"| {self.engine} | {self.method} | {self.n_writers} | {self.n_acknowledged} | {lost} "
            f"| {self.n_errors} | {self.verifies} | {self.seconds:.2f} | {rate:.0f} |"
        )


def registry_writer(location: str, who: int, n_writes: int) -> int:
    """Compare-and-set on a counter, and an audit row, in one transaction each."""
    registry, n_done = Registry("experiments", database=location), 0
    for _ in range(n_writes):
        with registry._database.write("count") as connection:
            before = find_row(connection, leases, COUNTER)["fencing"]
            update_row(connection, leases, COUNTER, {"fencing": before + 1, "holder": f"w{who}"})
        registry.audit(ID, "count", {"version": before + 1}, who=f"w{who}")
        n_done += 1
    return n_done


def careless_writer(location: str, who: int, n_writes: int) -> int:
    """The wrong way: read, then write, each on its own."""
    n_done = 0
    for _ in range(n_writes):
        with closing(sqlite3.connect(location, timeout=30, isolation_level=None)) as connection:
            (before,) = connection.execute("select fencing from counter").fetchone()
            connection.execute("update counter set fencing = ?", (before + 1,))
        n_done += 1
    return n_done


def in_processes(
    work: Callable[[str, int, int], int], location: str, n_writers: int, n_writes: int
) -> tuple[int, int, float]:
    """Acknowledged writes, errors, and seconds of writers that start together."""
    start = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(n_writers) as pool:
        waiting = [pool.apply_async(work, (location, i, n_writes)) for i in range(n_writers)]
        pool.close()
        done, n_errors = 0, 0
        for one in waiting:
            try:
                done += one.get()
            except Exception as error:
                n_errors += 1
                print(error, file=sys.stderr)
    return done, n_errors, time.perf_counter() - start


def measure(engine: str, location: str, n_writers: int, n_writes: int) -> Row:
    registry = Registry("experiments", database=location)
    registry.add(load_experiment(ROOT / "experiments" / ID), who="bench")
    with registry._database.write("lease") as connection:
        row = {**COUNTER, "holder": "", "fencing": 0, "expires_at": ""}
        insert_rows(connection, leases, [row])
    done, n_errors, seconds = in_processes(registry_writer, location, n_writers, n_writes)
    with registry._database.read() as connection:
        counted = find_row(connection, leases, COUNTER)["fencing"]
    notes = [row for row in registry.history(ID).rows if row.action == "count"]
    assert [row.seq for row in notes] == list(range(2, 2 + done)), "numbers of the trail have gaps"
    verdict = "no" if blocked_by(registry.verify()) else "yes"
    return Row(engine, "registry", n_writers, done, counted, n_errors, verdict, seconds)


def measure_careless(folder: Path, n_writers: int, n_writes: int) -> Row:
    location = str(folder / "careless.db")
    with closing(sqlite3.connect(location)) as connection, connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table counter (fencing integer)")
        connection.execute("insert into counter values (0)")
    done, n_errors, seconds = in_processes(careless_writer, location, n_writers, n_writes)
    with closing(sqlite3.connect(location)) as connection:
        (counted,) = connection.execute("select fencing from counter").fetchone()
    return Row("SQLite", "careless", n_writers, done, counted, n_errors, "", seconds)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="uplift-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def run(n_writers: int, n_writes: int) -> list[Row]:
    with temporary_folder() as folder, running_postgres() as server:
        rows = []
        for writers, writes in ((1, n_writers * n_writes), (n_writers, n_writes)):
            location = str(folder / f"registry-{writers}.db")
            rows.append(measure("SQLite", location, writers, writes))
            with server.fresh_database() as url:
                rows.append(measure("PostgreSQL", url, writers, writes))
        rows.append(measure_careless(folder, n_writers, n_writes))
        return rows


def report(rows: list[Row]) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    head = (
        f"Machine: {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}; Python "
        f"{platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}, SQLite "
        f"{sqlite3.sqlite_version} (every commit synced), psycopg {psycopg.__version__}, "
        "PostgreSQL on loopback without fsync. No seed: nothing is drawn at random."
    )
    columns = "engine | method | writers | acknowledged | lost | errors | verifies | s | per s"
    return "\n".join(
        [
            "# Registry: eight writers",
            "",
            "Made by `python benchmarks/bench_registry.py`. Each acknowledged write of `registry` "
            "is two transactions: a counter read, raised and written back (a lost one would "
            "show), and an audit row. `careless` reads and writes without a transaction "
            "around both.",
            "",
            head,
            "",
            f"| {columns} |",
            "|" + "---|" * len(columns.split("|")),
            *(row.line() for row in rows),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--writes", type=int, default=200)
    arguments = parser.parse_args()
    text = report(run(arguments.writers, arguments.writes))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
