"""Learners on one cross-fit: speed and accuracy beside plain LightGBM calls and other libraries.

    python benchmarks/models/bench_learners.py [--rows 1000000] [--peers PYTHON] [--hillstrom FILE]

Criteo-like customers with known effects: one block to learn from, another to predict. "Plain" are
the five textbook learners as LightGBM calls on one binned Dataset (100 trees of 31 leaves), without
out-of-fold effects. `--peers` names the Python of an environment with econml or causalml; each
learner runs in a process of its own. Processor seconds stand beside wall seconds, because other
work on the machine adds to the second only; ratios are of processor seconds. Threads of OpenMP wait
passively: spinning beside other work would multiply the plain calls' processor seconds.
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

os.environ["OMP_WAIT_POLICY"] = "passive"  # read once, when LightGBM is loaded

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd
from criteo_like import FEATURES, SEED, TREATED_SHARE, Customers, criteo_like

from uplift.models.learners import SLearner, TLearner, XLearner
from uplift.models.score_learners import DRLearner, RLearner
from uplift.models.train import train
from uplift.trial import Trial

Array = npt.NDArray[np.float64]

HERE = Path(__file__).parent
RESULT = HERE.parent.parent / "docs" / "benchmarks" / "models.md"
LIBRARIES = ("lightgbm", "numpy", "numba", "pandas")
NAMES = ("s", "t", "x", "r", "dr")
ALONE = {"s": SLearner, "t": TLearner, "x": XLearner, "r": RLearner, "dr": DRLearner}
PLAIN = {
    "learning_rate": 0.1,
    "num_leaves": 31,
    "num_threads": 2,
    "seed": 1,
    "force_col_wise": True,
    "feature_pre_filter": False,
    "enable_bundle": False,
    "verbosity": -1,
}
ROUNDS = 100
FEW, MANY_SPLITS = 100_000, 10
BOUNDS = {"s": 0.92, "t": 0.93, "r": 0.86, "dr": 0.86, "stack": 0.93}  # correlation, a million rows
BOUND_SUITE, BOUND_SCORING, BOUND_HILLSTROM = 0.6, 0.25, 7.6


@dataclass(frozen=True)
class Seconds:
    """Of one step: wall, and processor."""

    wall: float
    cpu: float

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __str__(self) -> str:
        return f"{self.wall:.2f} / {self.cpu:.2f}"


def timed(run: Callable[[], Any]) -> tuple[Any, Seconds]:
    start, used = time.perf_counter(), time.process_time()
    answer = run()
    return answer, Seconds(time.perf_counter() - start, time.process_time() - used)


def trial_of(customers: Customers) -> Trial:
    n = len(customers.arm)
    return Trial(
        units=np.arange(n).astype(str).astype(object),
        features=pd.DataFrame(customers.features, columns=list(FEATURES), copy=False),
        arms=("control", "treated"),
        arm=customers.arm,
        outcomes={"visit": customers.visit},
        propensity=np.broadcast_to([1 - TREATED_SHARE, TREATED_SHARE], (n, 2)),
        primary="visit",
    )


class Plain:
    """Textbook learners as plain LightGBM calls: features binned once, subsets, no reuse."""

    def __init__(self, customers: Customers) -> None:
        self.x, self.arm, self.y = customers.features, customers.arm, customers.visit
        self.data = lgb.Dataset(self.x, self.y, params=PLAIN).construct()
        self.half = np.random.default_rng(SEED).permutation(len(self.y)) % 2

    def fit(self, rows: Any, target: Array, *, binary: bool = False, weight: Any = None) -> Any:
        subset = self.data.subset(rows).construct()
        subset.set_label(target.astype(np.float32))
        if weight is not None:
            subset.set_weight(weight.astype(np.float32))
        objective = "binary" if binary else "regression"
        return lgb.train({**PLAIN, "objective": objective}, subset, ROUNDS)

    def arms(self, rows: Any) -> list[Any]:
        parts = [rows[self.arm[rows] == k] for k in (0, 1)]
        return [self.fit(part, self.y[part], binary=True) for part in parts]

    def learn(self, name: str) -> Callable[[Any], Array]:
        everyone, e = np.arange(len(self.y)), TREATED_SHARE
        if name == "s":
            with_arm = lgb.Dataset(np.column_stack([self.x, self.arm]), self.y, params=PLAIN)
            model = lgb.train({**PLAIN, "objective": "binary"}, with_arm, ROUNDS)
            ones = np.ones
            return lambda x: (
                model.predict(np.column_stack([x, ones(len(x), np.float32)]))
                - model.predict(np.column_stack([x, 0 * ones(len(x), np.float32)]))
            )
        if name == "t":
            models = self.arms(everyone)
            return lambda x: models[1].predict(x) - models[0].predict(x)
        if name == "x":
            models, sides = self.arms(everyone), []
            for k in (0, 1):
                rows = np.flatnonzero(self.arm == k)
                other = models[1 - k].predict(self.x[rows])
                sides.append(self.fit(rows, (self.y[rows] - other) * (1 if k else -1)))
            return lambda x: e * sides[0].predict(x) + (1 - e) * sides[1].predict(x)
        if name == "r":
            left = np.empty(len(self.y))
            for h in (0, 1):
                inside, outside = np.flatnonzero(self.half != h), np.flatnonzero(self.half == h)
                model = self.fit(inside, self.y[inside], binary=True)
                left[outside] = self.y[outside] - model.predict(self.x[outside])
            surprise = self.arm - e
            return self.fit(everyone, left / surprise, weight=surprise**2).predict
        score = np.empty(len(self.y))
        for h in (0, 1):
            inside, outside = np.flatnonzero(self.half != h), np.flatnonzero(self.half == h)
            mean = [model.predict(self.x[outside]) for model in self.arms(inside)]
            a, y = self.arm[outside], self.y[outside]
            own = np.where(a == 1, (y - mean[1]) / e, -(y - mean[0]) / (1 - e))
            score[outside] = mean[1] - mean[0] + own
        return self.fit(everyone, score).predict


def quality(effects: Array, truth: Array) -> tuple[float, float, float]:
    """Correlation, root mean squared error, and Qini of the true effects x 1000."""
    correlation = float(np.corrcoef(effects, truth)[0, 1]) if effects.std() > 0 else 0.0
    order = np.argsort(-effects, kind="stable")
    n = len(truth)
    curve = (0.5 - (np.arange(n) + 0.5) / n) @ truth[order] / n
    return correlation, float(np.sqrt(np.mean((effects - truth) ** 2))), 1000 * float(curve)


def qini(y: Array, arm: Any, effects: Array, *, seed: int) -> float:
    """Area between the curve of extra outcomes per head and its chord x 1000; ties at random."""
    order = np.lexsort((np.random.default_rng(seed).random(len(y)), -effects))
    y, w = y[order], arm[order].astype(np.float64)
    treated, control = np.cumsum(w), np.cumsum(1 - w)
    extra = np.cumsum(y * w) - np.cumsum(y * (1 - w)) * treated / np.maximum(control, 1)
    curve = extra / treated[-1]
    share = np.arange(1, len(y) + 1) / len(y)
    return 1000 * float(np.trapezoid(curve - share * curve[-1], share))


def speed(customers: Customers, new: Customers) -> tuple[list[str], Any]:
    """Rows of the table of speed, and the suite."""
    frame = pd.DataFrame(new.features, columns=list(FEATURES), copy=False)
    trial = trial_of(customers)
    suite, whole = timed(lambda: train(trial, (*NAMES, "stack"), seed=SEED))
    lines, total = [], Seconds(0, 0)
    plain, binning = timed(lambda: Plain(customers))
    total += binning
    for name in NAMES:
        predict, fit = timed(lambda name=name: plain.learn(name))
        expected, scoring = timed(lambda predict=predict: predict(new.features))
        total += fit
        alone, own = timed(
            lambda name=name: ALONE[name]().fit(
                trial.features, customers.visit, customers.arm, propensity=trial.propensity
            )
        )
        effects, own_scoring = timed(lambda alone=alone: alone.predict(frame)[:, 0])
        ratio, faster = own.cpu / fit.cpu, own_scoring.cpu / scoring.cpu
        before, after = quality(expected, new.effect)[0], quality(effects, new.effect)[0]
        lines.append(
            f"| {name} alone | {fit} | {own} | {ratio:.2f} | {scoring} | {own_scoring} | "
            f"{faster:.2f} | {before:.3f} | {after:.3f} |"
        )
    model = suite.candidates["stack"].model
    effects, scoring = timed(lambda: model.predict(frame)[:, 0])
    after = quality(effects, new.effect)[0]
    first = (
        f"| all five, out of fold, and their stack | {total} | {whole} | "
        f"{whole.cpu / total.cpu:.2f} | | {scoring} | | | {after:.3f} |"
    )
    return [first, *lines], suite


def accuracy(suite: Any, new: Customers, *, rows: str) -> list[str]:
    frame = pd.DataFrame(new.features, columns=list(FEATURES), copy=False)
    lines = []
    for name, candidate in suite.candidates.items():
        if candidate.loss is None:
            continue
        found = quality(candidate.model.predict(frame)[:, 0], new.effect)
        chosen = " (chosen)" if name == suite.best.name else ""
        figures = " | ".join(f"{value:.4f}" for value in found)
        lines.append(f"| {rows} | {name}{chosen} | {figures} |")
    return lines


def hillstrom(path: Path) -> list[str]:
    """Women's e-mail against none, visits: halves to learn from, Qini on the others."""
    data = pd.read_csv(path)
    data = data[data["segment"] != "Mens E-Mail"].reset_index(drop=True)
    columns = ["recency", "history", "mens", "womens", "newbie", "zip_code", "channel"]
    arm = (data["segment"] == "Womens E-Mail").to_numpy().astype(np.int64)
    y, found = data["visit"].to_numpy(np.float64), {}
    for seed in range(MANY_SPLITS):
        order = np.random.default_rng(seed).permutation(len(y))
        a, b = np.sort(order[: len(y) // 2]), np.sort(order[len(y) // 2 :])
        trial = Trial(
            units=a.astype(str).astype(object),
            features=data.loc[a, columns].reset_index(drop=True),
            arms=("none", "womens"),
            arm=arm[a],
            outcomes={"visit": y[a]},
            propensity=np.full((len(a), 2), 0.5),
            primary="visit",
        )
        suite = train(trial, (*NAMES, "stack"), seed=seed)
        new = data.loc[b, columns]
        for name, candidate in suite.candidates.items():
            if candidate.loss is not None:
                value = qini(y[b], arm[b], candidate.model.predict(new)[:, 0], seed=seed)
                found.setdefault(name, []).append(value)
                if name == suite.best.name:
                    found.setdefault("chosen", []).append(value)
    return [
        f"| {name} | {np.mean(values):.2f} | {np.std(values, ddof=1):.2f} |"
        for name, values in found.items()
    ]


def peers(python: str, customers: Customers, new: Customers) -> list[str]:
    """Each learner of each library in a process of its own."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "data.npz", Path(folder) / "answer.npz"
        given = {"features": customers.features, "arm": customers.arm, "outcome": customers.visit}
        np.savez(source, **given, new=new.features, propensity=TREATED_SHARE)
        for library in ("econml", "causalml"):
            for name in NAMES:
                command = [python, str(HERE / "peer_learners.py"), library, name, source, target]
                done = subprocess.run(command, check=False, capture_output=True, text=True)
                if done.returncode:
                    reason = done.stderr.strip().splitlines()[-1][:80]
                    lines.append(f"| {library} {name} | failed: {reason} | | |")
                    continue
                answer = np.load(target)
                fit, predict = Seconds(*answer["fit"]), Seconds(*answer["predict"])
                correlation = quality(answer["effects"], new.effect)[0]
                lines.append(f"| {library} {name} | {fit} | {predict} | {correlation:.3f} |")
    return lines


def warm_up() -> None:
    """Compiled code is made, or read from its cache, before anything is timed."""
    some = criteo_like().part(0, 5000)
    train(trial_of(some), (*NAMES, "stack"), n_folds=2)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--peers")
    options.add_argument("--hillstrom", type=Path)
    asked = options.parse_args()
    warm_up()
    customers, new = criteo_like().part(0, asked.rows), criteo_like(1).part(0, asked.rows)
    lines, suite = speed(customers, new)
    few = train(trial_of(customers.part(0, min(FEW, asked.rows))), (*NAMES, "stack"), seed=SEED)
    rows = f"{asked.rows:,}"
    quality_lines = accuracy(suite, new, rows=rows) + accuracy(few, new, rows=f"{FEW:,}")
    other = peers(asked.peers, customers, new) if asked.peers else []
    real = hillstrom(asked.hillstrom) if asked.hillstrom else []
    text = report(rows, lines, quality_lines, other, real)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(text)
    print(text)


def report(
    rows: str, speed_lines: list[str], quality_lines: list[str], other: list[str], real: list[str]
) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    bounds = ", ".join(f"{name} {value}" for name, value in BOUNDS.items())
    parts = [
        "# Learners on one cross-fit",
        "",
        "Written by `make bench-models`. Seconds are wall / processor; ratios are of processor "
        "seconds, because other work on the machine adds to wall seconds only; OpenMP waits "
        "passively.",
        "",
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, load "
        f"{os.getloadavg()[0]:.0f} at the end. Python {platform.python_version()}, {versions}. "
        f"Seed {SEED}.",
        "",
        f"## Speed, {rows} × 12 Criteo-like customers",
        "",
        f"Bounds: the suite at most {BOUND_SUITE} of the plain calls, which give no out-of-fold "
        f"effects; scoring by S and T at most {BOUND_SCORING}.",
        "",
        "| | plain LightGBM fit | this package fit | ratio | plain scoring | scoring | ratio | "
        "correlation, plain | correlation |",
        "|---|---|---|---|---|---|---|---|---|",
        *speed_lines,
        "",
        "## Accuracy on a million other customers",
        "",
        f"Bounds on the correlation at a million rows: {bounds}. Qini is of the true effects, "
        "× 1000.",
        "",
        "| learned from | candidate | correlation | PEHE | Qini |",
        "|---|---|---|---|---|",
        *quality_lines,
    ]
    if other:
        parts += ["", "## Other libraries, the same rows", "", "LightGBM underneath, defaults.", ""]
        parts += ["| | fit | scoring | correlation |", "|---|---|---|---|", *other]
    if real:
        parts += [
            "",
            f"## Hillstrom, women's e-mail and visits, {MANY_SPLITS} half splits",
            "",
            f"Qini × 1000 per head on the half not learned from; bound for the choice "
            f"{BOUND_HILLSTROM}. The standard deviation is over splits.",
            "",
            "| candidate | Qini | sd |",
            "|---|---|---|",
            *real,
        ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
