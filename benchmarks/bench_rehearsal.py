"""Rehearse a plan on 64,000 customers: the package's replays against assigning and analysing.

    python benchmarks/bench_rehearsal.py [--customers 64000] [--replays 200]

The plain way draws each replay with `assign` and reads it with `analyse`; its numbers are compared
with those of the replays before anything is timed.
"""

import argparse
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from uplift.analysis.analyse import analyse
from uplift.assignment.assign import assign
from uplift.experiment import load_experiment
from uplift.rehearsal.replay import replay
from uplift.rehearsal.script import arms_of, replayed, script_of
from uplift.rehearsal.simulate import simulate_plan
from uplift.rehearsal.stage import stage_of

ROOT = Path(__file__).resolve().parent.parent
RESULT = Path(__file__).parent / "results" / "rehearsal.md"
SEED = 7
N_CHECKED, N_PLAIN = 2, 5


def history(n: int) -> pd.DataFrame:
    """Customers like those of the e-mail test: one in a hundred buys."""
    rng = np.random.default_rng(SEED)
    visit = rng.random(n) < 0.1
    buys = visit & (rng.random(n) < 0.06)
    return pd.DataFrame(
        {
            "unit": [f"h{i:06d}" for i in range(n)],
            "recency": rng.integers(1, 13, n),
            "visit": visit.astype(int),
            "conversion": buys.astype(int),
            "spend": np.where(buys, rng.lognormal(4, 0.8, n), 0.0),
        }
    )


def main() -> None:
    """Check, time, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=64_000)
    parser.add_argument("--replays", type=int, default=200)
    given = parser.parse_args()
    plan = load_experiment(ROOT / "experiments" / "hillstrom_email")
    table = history(given.customers)
    stage = stage_of(plan, table)
    script = script_of(plan, stage, seed=SEED)

    def plainly(number: int) -> list[float]:
        lots = replayed(plan, seed=SEED, number=number)
        report = analyse(lots, assign(lots, table), stage.outcomes, stage.customers)
        return [row.p_value for row in report.effects]

    for number in range(N_CHECKED):
        readings = script.readings[-1].read(arms_of(script, number))
        ours = [
            readings.estimate(
                metric.key,
                arm.name,
                method=readings.method(
                    metric.key, arm.name, proportion=metric.kind == "proportion"
                ),
            ).p_value
            for metric in plan.all_metrics
            for arm in plan.treatments
        ]
        np.testing.assert_allclose(ours, plainly(number), rtol=1e-9)

    started = time.perf_counter()
    for number in range(N_PLAIN):
        plainly(number)
    plain = (time.perf_counter() - started) / N_PLAIN
    replay(script, 0)
    started = time.perf_counter()
    for number in range(given.replays // 4):
        replay(script, number)
    one = (time.perf_counter() - started) / (given.replays // 4)
    started = time.perf_counter()
    simulate_plan(plan, table, n_replays=given.replays, seed=SEED, n_jobs=2)
    two = (time.perf_counter() - started) / given.replays
    rows = [
        ("assign and analyse", plain),
        ("replay, one process", one),
        ("simulate_plan, two processes, starting them included", two),
    ]
    lines = [
        "# Rehearsal of a plan",
        "",
        f"{given.customers:,} customers, {given.replays} replays, seed {SEED}; {os.cpu_count()} "
        f"cores, {platform.machine()}, Python {platform.python_version()}, numpy "
        f"{version('numpy')}, scipy {version('scipy')}. Other work may have run beside it.",
        "",
        "| way | seconds per replay | times faster | seconds for 1,000 |",
        "|---|--:|--:|--:|",
        *(f"| {n} | {s:.4f} | {plain / s:.1f} | {1000 * s:.0f} |" for n, s in rows),
        "",
    ]
    text = "\n".join(lines)
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
