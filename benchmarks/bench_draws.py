"""Draw arms for a million customers in twenty strata: the package against a loop over groups.

    python benchmarks/bench_draws.py [--customers 1000000] [--rounds 5]

Two things are timed: the draw alone, from ids and strata to arms, beside pandas shuffling each
stratum and cutting it; and `assign` whole, which also checks ids, applies the audience, sorts by id
and gives the table with propensities.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from uplift.assignment.assign import assign
from uplift.assignment.draws import exact_arms, strata_of
from uplift.assignment.hashing import exact_shares, hash_units
from uplift.experiment import Experiment, load_experiment

ROOT = Path(__file__).resolve().parent.parent
RESULT = Path(__file__).parent / "results" / "draws.md"
SEED = 7
BOUND_SECONDS = 2.0
N_REGIONS, N_TIERS = 5, 4
LIBRARIES = ("numpy", "numba", "pandas", "pyarrow")
PLANS = {
    "stratified": {"method": "stratified", "strata": ["region", "tier"]},
    "rerandomised (2 covariates, 1 draw in 10)": {
        "method": "rerandomised",
        "balance": ["age", "spend"],
        "acceptance": 0.1,
    },
    "matched (2 covariates)": {"method": "matched", "balance": ["age", "spend"]},
    "hash": {"method": "hash"},
}


def customers(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(SEED)
    ids = pd.Series(rng.permutation(n)).astype("str").str.zfill(9)
    return pd.DataFrame(
        {
            "unit": ("c" + ids).astype("str"),
            "n_baskets_182d": 1,
            "region": rng.choice([f"region_{i}" for i in range(N_REGIONS)], n),
            "tier": rng.choice([f"tier_{i}" for i in range(N_TIERS)], n),
            "age": rng.normal(45, 12, n),
            "spend": rng.lognormal(3, 1, n),
        }
    )


def experiment_with(plan: dict[str, object]) -> Experiment:
    plain = load_experiment(ROOT / "experiments" / "spring_voucher").model_dump()
    return Experiment(**{**plain, "assignment": plan})


def by_groups(table: pd.DataFrame, shares: dict[str, float]) -> pd.Series:
    """What one writes without a package: shuffle each stratum, cut it by the rounded shares."""
    arms = pd.Series("", index=table.index)
    cuts = np.cumsum(list(shares.values()))[:-1]
    for _, group in table.groupby(["region", "tier"]):
        shuffled = group.sample(frac=1, random_state=SEED)
        ends = np.round(cuts * len(shuffled)).astype(int)
        for arm, part in zip(shares, np.split(shuffled.index.to_numpy(), ends), strict=True):
            arms.loc[part] = arm
    return arms


def by_package(table: pd.DataFrame, experiment: Experiment) -> np.ndarray:
    strata = strata_of(table, experiment.assignment.strata)
    values = hash_units(table["unit"], salt="spring_voucher:arm:1")
    return exact_arms(values, strata, exact_shares(experiment), salt="spring_voucher:arm:1")


def best_of(rounds: int, methods: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Best time of each method; they take turns."""
    best = dict.fromkeys(methods, float("inf"))
    for _ in range(rounds):
        for name, run in methods.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def check(table: pd.DataFrame) -> None:
    """Correctness before speed: every stratum holds every arm's share but for less than one."""
    experiment = experiment_with(PLANS["stratified"])
    assigned = assign(experiment, table)
    counts = pd.crosstab(assigned["stratum"], assigned["arm"])[list(experiment.arm_names)]
    expected = np.outer(counts.sum(axis=1), list(experiment.shares.values()))
    assert len(counts) == N_REGIONS * N_TIERS
    assert (np.abs(counts.to_numpy() - expected) < 1).all()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    table = customers(options.customers)
    check(table)
    stratified = experiment_with(PLANS["stratified"])
    draw = best_of(
        options.rounds,
        {
            "pandas, groups shuffled and cut": lambda: by_groups(table, stratified.shares),
            "uplift, draw alone": lambda: by_package(table, stratified),
        },
    )
    plans = {name: experiment_with(plan) for name, plan in PLANS.items()}
    whole = best_of(
        options.rounds,
        {name: (lambda one=one: assign(one, table)) for name, one in plans.items()},
    )
    text = report(options, draw, whole)
    RESULT.write_text(text, encoding="utf-8")
    print(text)
    assert whole["stratified"] < BOUND_SECONDS, whole


def report(options: argparse.Namespace, draw: dict[str, float], whole: dict[str, float]) -> str:
    peer = draw["pandas, groups shuffled and cut"]
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    lines = [
        "# Drawing whole lists",
        "",
        f"Machine: {os.cpu_count()} cores, {platform.system()}. "
        f"Python {platform.python_version()}, {versions}.",
        f"{options.customers:,} customers in {N_REGIONS * N_TIERS} strata, four arms, seed {SEED}, "
        f"best of {options.rounds} rounds in turn. Shares of every stratum checked before timing.",
        "",
        "## The draw alone",
        "",
        "| method | seconds | times pandas |",
        "|---|--:|--:|",
        *(f"| {name} | {seconds:.3f} | {seconds / peer:.2f} |" for name, seconds in draw.items()),
        "",
        f"## `assign` whole (stratified: at most {BOUND_SECONDS:g} s)",
        "",
        "| method | seconds |",
        "|---|--:|",
        *(f"| {name} | {seconds:.3f} |" for name, seconds in whole.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
