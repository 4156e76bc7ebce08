"""How much of the best learner's ranking the chosen one and the stack keep, with known effects.

    python benchmarks/models/bench_choice.py [--seeds 5] [--problem NAME ...]

Every learner ranks the same new customers. Its true Qini is the area between the gain of its
ranking and the chord, averaged over treatments; the share is that of the best learner in hindsight,
which nobody can know. Where nobody differs (null) there is nothing to rank: what counts is that one
effect for everyone is chosen.
"""

import argparse
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from criteo_like import FEATURES, TREATED_SHARE, Truth, criteo_like

from uplift.datasets import plasmode_campaign, simulate
from uplift.models.train import train
from uplift.trial import Trial

Array = npt.NDArray[np.float64]

RESULT = Path(__file__).parents[2] / "docs" / "benchmarks" / "choice.md"
LEARNERS = ("s", "t", "x", "r", "dr")
STACK, CHOSEN = "stack", "chosen"
NEW = 200_000


@dataclass(frozen=True, eq=False)
class Problem:
    """A trial to learn from, and new customers whose effects are known, (n_new, n_arms - 1)."""

    trial: Trial
    new: pd.DataFrame
    effects: Array


def criteo(truth: Truth, n_units: int) -> Callable[[int], Problem]:
    """Customers in the shape of the Criteo set; another part of a million for each seed."""

    def problem(seed: int) -> Problem:
        customers = criteo_like(0, truth=truth).part(seed * n_units, n_units)
        new = criteo_like(1, truth=truth).part(0, NEW)
        trial = Trial(
            units=np.array([f"u{i}" for i in range(n_units)], dtype=object),
            features=pd.DataFrame(customers.features, columns=list(FEATURES)),
            arms=("control", "email"),
            arm=customers.arm,
            outcomes={"outcome": customers.visit},
            propensity=np.tile([1 - TREATED_SHARE, TREATED_SHARE], (n_units, 1)),
            primary="outcome",
            experiment="criteo_like",
        )
        frame = pd.DataFrame(new.features, columns=list(FEATURES))
        return Problem(trial, frame, new.effect[:, None])

    return problem


def simulated(n_units: int, **how: Any) -> Callable[[int], Problem]:
    """A world of `simulate`; the new customers are others of the same world."""

    def problem(seed: int) -> Problem:
        old = simulate(n_units=n_units, seed=seed, **how)
        new = simulate(n_units=50_000, seed=10_000 + seed, **how)
        return Problem(old.trial, new.trial.features, new.true_effects)

    return problem


def plasmode(n_units: int) -> Callable[[int], Problem]:
    """Real households with planted effects of e-mail, post and telephone on spend.

    A household's effect is the mean over its copies; learned from some households, judged on the
    others.
    """

    def problem(seed: int) -> Problem:
        campaign = plasmode_campaign(2 * n_units, seed=seed)
        spend = campaign.potential["spend"]
        household, names = pd.factorize(campaign.customers["household"])
        gains = pd.DataFrame(spend[:, 1:] - spend[:, [0]])
        truth = gains.groupby(household).transform("mean").to_numpy()
        rng = np.random.default_rng(seed)
        old = (rng.random(len(names)) < 0.5)[household]
        features = campaign.customers.drop(columns=["unit", "household", "as_of"], errors="ignore")
        n, n_arms = int(old.sum()), spend.shape[1]
        arm = rng.integers(0, n_arms, n)
        trial = Trial(
            units=np.array([f"u{i}" for i in range(n)], dtype=object),
            features=features[old].reset_index(drop=True),
            arms=tuple(campaign.arms),
            arm=arm,
            outcomes={"outcome": spend[old][np.arange(n), arm]},
            propensity=np.full((n, n_arms), 1 / n_arms),
            primary="outcome",
            experiment="plasmode",
            cluster=household[old].astype(np.int64),
        )
        return Problem(trial, features[~old].reset_index(drop=True), truth[~old])

    return problem


PROBLEMS: Mapping[str, Callable[[int], Problem]] = {
    "log odds, 100,000": criteo("log_odds", 100_000),
    "additive, 100,000": criteo("additive", 100_000),
    "binary, 20,000": simulated(20_000),
    "sparse, 20,000 × 40": simulated(20_000, n_features=40),
    "confounded, 20,000": simulated(20_000, propensity="confounded"),
    "three arms, 20,000": simulated(20_000, n_arms=3),
    "revenue, 20,000": simulated(20_000, outcome="revenue"),
    "households, 20,000": plasmode(20_000),
    "null, 20,000": simulated(20_000, heterogeneity=0.0),
}


def qini(effects: Array, truth: Array) -> float:
    """Mean over treatments of the area between gain and chord, in the outcome's unit."""
    place = (np.arange(len(truth)) + 0.5) / len(truth)
    order = np.argsort(-effects, axis=0, kind="stable")
    return float(((0.5 - place)[:, None] * np.take_along_axis(truth, order, axis=0)).mean())


def shares(problem: Problem, seed: int) -> tuple[str, dict[str, float]]:
    """What was chosen, and every candidate's share of the best learner's true Qini."""
    suite = train(problem.trial, (*LEARNERS, STACK), seed=seed)
    found = {
        name: qini(suite.candidates[name].model.predict(problem.new), problem.effects)
        for name in (*LEARNERS, STACK)
    }
    found[CHOSEN] = found.get(suite.preferred, 0.0)  # one effect for everyone ranks nobody
    best = max(found[name] for name in LEARNERS) or np.nan  # where nobody differs there is none
    return suite.preferred, {name: value / best for name, value in found.items()}


def row(name: str, seeds: int) -> str:
    """One line of the table, as it is measured."""
    chosen, rows = [], []
    for seed in range(seeds):
        which, of_seed = shares(PROBLEMS[name](seed), seed)
        chosen.append(which)
        rows.append(of_seed)
        print(name, seed, which, {k: round(v, 3) for k, v in of_seed.items()}, flush=True)
    names = ", ".join(f"{which} {chosen.count(which)}" for which in sorted(set(chosen)))
    if name.startswith("null"):
        return f"| {name} | {' | '.join('–' for _ in range(len(LEARNERS) + 2))} | {names} |"
    table = pd.DataFrame(rows)[[*LEARNERS, STACK, CHOSEN]]
    return f"| {name} | {' | '.join(f'{mean:.3f}' for mean in table.mean())} | {names} |"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--problem", action="append", choices=tuple(PROBLEMS))
    asked = parser.parse_args()
    lines = [row(name, asked.seeds) for name in asked.problem or PROBLEMS]
    head = f"| learned from | {' | '.join((*LEARNERS, STACK, CHOSEN))} | which, seeds |"
    page = f"""# How well learners are chosen

Written by `python benchmarks/models/bench_choice.py`: shares of the best learner's true Qini on new
customers, means over {asked.seeds} seeds. The best learner of each seed is known in hindsight only.
Python {platform.python_version()}, lightgbm {version("lightgbm")}, numpy {version("numpy")}.

{head}
|---|{"--:|" * (len(LEARNERS) + 2)}---|
{chr(10).join(lines)}
"""
    if asked.problem:
        print(page)
    else:
        RESULT.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
