"""The causal forest's speed and accuracy, beside other libraries' forests and plain baselines.

    python benchmarks/models/bench_forest.py [--peers PYTHON] [--million] [--rounds 3]

Criteo-like customers with known effects: the first 100,000 to learn from, 100,000 others to
predict, under two truths. `--peers` names the Python of an environment with causalml and econml;
each runs in a process of its own. Processor seconds stand beside wall seconds, because other work
on the machine adds to the second only; ratios are of processor seconds.
"""

import argparse
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from criteo_like import SEED, TREATED_SHARE, Customers, Truth, criteo_like

from uplift.models.boosting import bin_features
from uplift.models.crossfit import Sample
from uplift.models.forest import CausalForest
from uplift.models.inputs import checked_input

Array = npt.NDArray[np.float64]

HERE = Path(__file__).parent
RESULT = HERE.parent / "results" / "forest.md"
LIBRARIES = ("numpy", "numba", "lightgbm")
PEERS = ("causalml_ED", "causalml_KL", "econml_500")
N, FIRST_TEST = 100_000, 900_000
TRUTHS: tuple[Truth, ...] = ("log_odds", "additive")
BOUND_CORRELATION = 0.74  # on log odds, 100 trees
BOUND_MILLION_SECONDS = 15.0
RATIO = 50  # times faster than the peer
# processor seconds of the peers' fits on the same rows, measured once on an idle machine
KNOWN_CPU = {"causalml_ED": 66.0, "causalml_KL": 77.0, "econml_500": 321.0}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on one truth; seconds are wall and processor."""

    truth: str
    method: str
    fit: tuple[float, float] | None = None
    predict: tuple[float, float] | None = None
    pehe: float
    correlation: float


def timed(run: Callable[[], object], rounds: int) -> tuple[Any, tuple[float, float]]:
    """The answer, and the least wall and processor seconds of a few runs."""
    walls, cpus, answer = [], [], None
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        answer = run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return answer, (min(walls), min(cpus))


def judged(truth: str, method: str, effects: Array, test: Customers, **seconds: Any) -> Row:
    error = float(np.sqrt(np.mean((effects - test.effect) ** 2)))
    correlation = 0.0 if effects.std() == 0 else np.corrcoef(effects, test.effect)[0, 1]
    return Row(truth=truth, method=method, pehe=error, correlation=float(correlation), **seconds)


def forest_rows(truth: str, learn: Customers, test: Customers, rounds: int) -> list[Row]:
    """The forest alone on checked rows, as peers are timed, and `fit` with everything."""
    given = checked_input(
        learn.features,
        learn.visit,
        learn.arm,
        propensity=TREATED_SHARE,
        sample_weight=None,
        cluster=None,
    )
    table = bin_features(given.encoded, categorical=[], arm=given.design.arm, n_arms=2)
    sample = Sample(table, given.design, given.outcome, np.arange(len(learn.arm)))
    rows = []
    for name, size in {
        "uplift, 100 trees": {"n_trees": 100},
        "uplift, 100 trees, mean not a feature": {"n_trees": 100, "mean_as_feature": False},
        "uplift, 500 trees with standard errors": {"n_trees": 500},
    }.items():
        model = CausalForest(**size)
        _, fit = timed(lambda model=model: model.learn(sample, given.encoder), rounds)
        ask = model.predict_interval if "errors" in name else model.predict
        _, predict = timed(lambda ask=ask: ask(test.features), 1)
        effects = model.predict(test.features)[:, 0]
        rows.append(judged(truth, name, effects, test, fit=fit, predict=predict))
    model, whole = timed(
        lambda: CausalForest(n_trees=100).fit(
            learn.features, learn.visit, learn.arm, propensity=TREATED_SHARE
        ),
        rounds,
    )
    effects = model.predict(test.features)[:, 0]
    name = "uplift, 100 trees, `fit` with checks, leaks, order and bins"
    return [*rows, judged(truth, name, effects, test, fit=whole)]


def baseline_rows(truth: str, learn: Customers, test: Customers) -> list[Row]:
    """One effect for everyone, and who visits at all, as the truth itself would say it."""
    average = learn.visit[learn.arm == 1].mean() - learn.visit[learn.arm == 0].mean()
    response = test.mean * (1 - test.mean)
    scaled = response * average / response.mean()
    return [
        judged(truth, "one effect for everyone", np.full(len(test.arm), average), test),
        judged(truth, "true response, mean (1 - mean)", scaled, test),
    ]


def peer_rows(truth: str, learn: Customers, test: Customers, options: Any) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source, answer = Path(folder) / "data.npz", Path(folder) / "answer.npz"
        np.savez(
            source, features=learn.features, arm=learn.arm, visit=learn.visit, test=test.features
        )
        for peer in options.which:
            script = [options.peers, str(HERE / "peer_forests.py"), peer, str(source), str(answer)]
            environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
            subprocess.run(script, check=True, env=environment, capture_output=True)
            with np.load(answer) as found:
                seconds = {k: tuple(float(x) for x in found[k]) for k in ("fit", "predict")}
                rows.append(judged(truth, peer, found["effects"], test, **seconds))
    return rows


def million_row() -> Row:
    """A million customers to learn from, the first of another million to predict."""
    learn, test = criteo_like(0), criteo_like(1).part(0, N)
    model = CausalForest(n_trees=100)
    _, fit = timed(
        lambda: model.fit(learn.features, learn.visit, learn.arm, propensity=TREATED_SHARE), 1
    )
    effects, predict = timed(lambda: model.predict(test.features)[:, 0], 1)
    name = "uplift, 100 trees, a million rows, whole `fit`"
    return judged("log_odds", name, effects, test, fit=fit, predict=predict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="Python of an environment with causalml and econml")
    parser.add_argument("--which", nargs="*", default=PEERS, choices=PEERS, help="of the peers")
    parser.add_argument("--million", action="store_true", help="also a million rows")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows: list[Row] = []
    for truth in TRUTHS:
        customers = criteo_like(0, truth=truth)
        learn, test = customers.part(0, N), customers.part(FIRST_TEST, N)
        if not rows:  # what is compiled or read from the disk is not timed
            forest_rows(truth, learn.part(0, 3000), test.part(0, 100), 1)
        rows += baseline_rows(truth, learn, test)
        rows += forest_rows(truth, learn, test, options.rounds)
        rows += peer_rows(truth, learn, test, options) if options.peers else []
    if options.million:
        rows.append(million_row())
    text = report(options, rows)
    RESULT.write_text(text, encoding="utf-8")
    print(text)


def report(options: argparse.Namespace, rows: list[Row]) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return "\n".join(
        [
            "# Causal forest",
            "",
            f"Machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} while measuring, "
            f"{platform.system()}. Python {platform.python_version()}, {versions}.",
            f"Criteo-like customers, seed {SEED}: {N:,} to learn from, {N:,} others to predict. "
            f"Least of {options.rounds} rounds. The expected outcome is part of every fit.",
            "",
            "| truth | method | fit s | CPU s | predict s | CPU s | PEHE | correlation |",
            "|---|---|--:|--:|--:|--:|--:|--:|",
            *map(line, rows),
            "",
            *bounds(options, rows),
            "",
        ]
    )


def line(row: Row) -> str:
    seconds = [
        f"{x:.2f}" if pair else "" for pair in (row.fit, row.predict) for x in (pair or (0.0, 0.0))
    ]
    cells = [row.truth, row.method, *seconds, f"{row.pehe:.4f}", f"{row.correlation:.3f}"]
    return f"| {' | '.join(cells)} |"


def bounds(options: argparse.Namespace, rows: list[Row]) -> list[str]:
    """What was promised, and what was found."""
    by_method = {row.method: row for row in rows if row.truth == "log_odds"}
    hundred = by_method["uplift, 100 trees"]
    lines = [
        f"- correlation on log odds, 100 trees: {hundred.correlation:.3f}, "
        f"bound {BOUND_CORRELATION}"
    ]
    for peer, method in (
        ("causalml_ED", "uplift, 100 trees"),
        ("econml_500", "uplift, 500 trees with standard errors"),
    ):
        here = by_method[peer].fit if peer in by_method else None
        cpu = here[1] if here else KNOWN_CPU[peer]
        where = "in this run" if here else "not measured here, an earlier run on an idle machine"
        found = cpu / by_method[method].fit[1]
        lines.append(f"- {method} against {peer} ({where}): {found:.0f} times, bound {RATIO}")
    for row in rows:
        if "million" in row.method:
            lines.append(
                f"- {row.method}: {row.fit[0]:.1f} s, {row.fit[1]:.1f} CPU s, "
                f"bound {BOUND_MILLION_SECONDS:g} s"
            )
    return lines


if __name__ == "__main__":
    main()
