"""Eight processes write into one registry, 200 times each: no error, no lost update, how fast?

    python benchmarks/bench_registry.py [--only writers|control] [--writers 8] [--members 1000000]

Beside it, in the same run, the same writes by one process, and a counter that is read and written
without a transaction around both, as a plain file of numbers would be: it loses updates.

Then a universal control of a million members begins in four cohorts, and one cohort is replaced:
how long do other writers wait? Beside it the plain way: all rows of the cohorts in the rotation's
own transaction.
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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psycopg  # noqa: E402
import sqlalchemy  # noqa: E402

from tests.postgres_server import running_postgres  # noqa: E402
from uplift.checks import blocked_by  # noqa: E402
from uplift.experiment import load_experiment  # noqa: E402
from uplift.registry.bulk import Same, ready_rows  # noqa: E402
from uplift.registry.contents import find_row, insert_ready, insert_rows, update_row  # noqa: E402
from uplift.registry.database import Database  # noqa: E402
from uplift.registry.memberships import NewCohort, memberships, rotate  # noqa: E402
from uplift.registry.registry import Registry  # noqa: E402
from uplift.registry.tables import cohort_members, leases  # noqa: E402
from uplift.table import canonical_json  # noqa: E402

RESULTS = Path(__file__).parent / "results"
COUNTER = {"name": "counter"}
ID = "hillstrom_email"
LOAD = os.getloadavg()[0]
CONTROL, N_COHORTS = "universal_control", 4
BEGIN = datetime(2024, 1, 1, 8, tzinfo=UTC)


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


@dataclass(frozen=True)
class Turn:
    """One step of a control: the whole of it, and the longest that another writer waits."""

    engine: str
    what: str
    seconds: float
    n_transactions: int
    longest: float

    def line(self) -> str:
        return (
            f"| {self.engine} | {self.what} | {self.seconds:.1f} | {self.n_transactions} "
            f"| {self.longest:.2f} |"
        )


@contextmanager
def watched() -> Iterator[list[float]]:
    """How long each writing transaction holds its lock, commit included."""
    plain, held = Database.write, []

    @contextmanager
    def timed(self: Database, step: str):
        with plain(self, step) as connection:
            started = time.perf_counter()
            yield connection
        held.append(time.perf_counter() - started)

    Database.write = timed
    try:
        yield held
    finally:
        Database.write = plain


def measure_control(engine: str, folder: Path, location: str, n_members: int) -> Iterator[Turn]:
    """A control begins, one cohort is replaced, and the plain way beside it."""
    registry = Registry(folder, database=location, clock=lambda: BEGIN + timedelta(days=1000))
    control = load_experiment(ROOT / "experiments" / CONTROL)
    design = canonical_json({"digest": control.digest})
    registry.seal(control, SimpleNamespace(to_json=lambda: design), who="bench")
    size = n_members // N_COHORTS
    cohorts = []
    for k in range(N_COHORTS + 1):
        file = folder / f"draw_{k}.txt"
        file.write_text(str(k))
        units = tuple(f"c{i:09d}" for i in range(k, size * (N_COHORTS + 1), N_COHORTS + 1))
        cohorts.append(NewCohort(k + 1, units, file))
    later = BEGIN + timedelta(days=91)
    steps = (
        (f"begin {n_members:,}", lambda: rotate(registry, CONTROL, cohorts[:-1], at=BEGIN)),
        (
            f"replace {size:,}",
            lambda: rotate(registry, CONTROL, cohorts[-1:], release=1, at=later),
        ),
        (f"replace {size:,}, plainly", lambda: plain_turn(registry, cohorts[-1])),
    )
    for what, work in steps:
        with watched() as held:
            started = time.perf_counter()
            work()
            seconds = time.perf_counter() - started
        yield Turn(engine, what, seconds, len(held), max(held))
    known = memberships(registry, CONTROL)
    assert len(known) == size * (N_COHORTS + 1), "members are missing"
    assert known["until_at"].notna().sum() == size, "one cohort was to be let go"
    assert not blocked_by(registry.verify())


def plain_turn(registry: Registry, cohort: NewCohort) -> None:
    """All rows of a cohort, digested and written inside one transaction."""
    with registry._database.write("plain") as connection:
        values = {"batch": Same("plain"), "unit": sorted(cohort.units)}
        insert_ready(connection, ready_rows(cohort_members, len(cohort.units), values))


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


def run_control(n_members: int) -> list[Turn]:
    with temporary_folder() as folder, running_postgres() as server:
        turns = list(measure_control("SQLite", folder, str(folder / "registry.db"), n_members))
        with server.fresh_database() as url:
            return turns + list(measure_control("PostgreSQL", folder, url, n_members))


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Machine: {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}; Python "
        f"{platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}, SQLite "
        f"{sqlite3.sqlite_version} (every commit synced), psycopg {psycopg.__version__}, "
        f"PostgreSQL on loopback without fsync. No seed: nothing is drawn at random. Load of the "
        f"last minute when it began: {LOAD:.1f}."
    )


def writers_report(rows: list[Row]) -> str:
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
            machine(),
            "",
            f"| {columns} |",
            "|" + "---|" * len(columns.split("|")),
            *(row.line() for row in rows),
            "",
        ]
    )


def control_report(turns: list[Turn]) -> str:
    return "\n".join(
        [
            "# A universal control: how long other writers wait",
            "",
            "Made by `python benchmarks/bench_registry.py --only control`. Members are compared "
            "and written before the rotation, in short transactions; the rotation itself is a few "
            "rows. `plainly` digests and writes the rows of one cohort inside a single "
            "transaction, and checks nothing. Seconds.",
            "",
            machine(),
            "",
            "| engine | step | whole | transactions | longest lock |",
            "|---|---|---|---|---|",
            *(turn.line() for turn in turns),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("writers", "control"))
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--writes", type=int, default=200)
    parser.add_argument("--members", type=int, default=1_000_000)
    given = parser.parse_args()
    reports = {
        "writers": lambda: writers_report(run(given.writers, given.writes)),
        "control": lambda: control_report(run_control(given.members)),
    }
    RESULTS.mkdir(exist_ok=True)
    for name, file in (("writers", "registry.md"), ("control", "control.md")):
        if given.only in (None, name):
            text = reports[name]()
            (RESULTS / file).write_text(text)
            print(text)


if __name__ == "__main__":
    main()
