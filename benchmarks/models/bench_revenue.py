"""Revenue in two parts against one: how well learners find who spends more, with known effects.

    python benchmarks/models/bench_revenue.py [--units 20000] [--seeds 3]

Problems, each with as many new customers to predict as customers to learn from:

  conversion  a fifth buys, log-normal baskets; the treatment changes who buys (`simulate`)
  both        one in twenty-five buys; the treatment moves who buys and, of others, baskets
  vouchers    the plasmode campaign: real households, of which five in six buy; by e-mail

True Qini is the area between a ranking's gain and the chord, as a share of the best ranking's. A
constant effect has 0.
"""

import argparse
import platform
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.datasets import plasmode_campaign, simulate
from uplift.models.learners import SLearner, TLearner, XLearner
from uplift.models.score_learners import DRLearner, RLearner
from uplift.models.two_part import is_two_part

Array = npt.NDArray[np.float64]

RESULT = Path(__file__).parents[2] / "docs" / "benchmarks" / "revenue.md"
METHODS = {"S": SLearner, "T": TLearner, "X": XLearner, "R": RLearner, "DR": DRLearner}


@dataclass(frozen=True, eq=False)
class Problem:
    """Customers, half to learn from; the effect of every one is known."""

    X: pd.DataFrame
    y: Array
    arm: npt.NDArray[np.int64]
    truth: Array
    seen: int


def conversion(n_units: int, seed: int) -> Problem:
    """Effects on who buys."""
    sim = simulate(n_units=2 * n_units, outcome="revenue", effect=1.0, seed=seed)
    trial = sim.trial
    y = trial.outcomes["outcome"]
    return Problem(trial.features, y, trial.arm, sim.true_effects[:, 0], n_units)


def both(n_units: int, seed: int) -> Problem:
    """Effects on buying and, of other customers, on baskets."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((2 * n_units, 8))
    arm = rng.integers(0, 2, len(Z))
    odds = -3.3 + 0.6 * Z[:, 0] + 0.4 * Z[:, 1] * (Z[:, 2] > 0)
    treated_odds = odds + 0.25 + 0.25 * (Z[:, 3] > 0)
    buys = 1 / (1 + np.exp(-np.column_stack([odds, treated_odds])))
    level = 3 + 0.4 * Z[:, 1]
    basket = np.exp(np.column_stack([level, level + 0.15 * (Z[:, 4] > 0)]))
    mean, rows = buys * basket, np.arange(len(Z))
    bought = rng.random(len(Z)) < buys[rows, arm]
    y = bought * basket[rows, arm] * rng.lognormal(-0.5, 1, len(Z))
    X = pd.DataFrame(Z, columns=[f"x{i}" for i in range(8)])
    return Problem(X, y, arm, mean[:, 1] - mean[:, 0], n_units)


def vouchers(n_units: int, seed: int) -> Problem:
    """Real spending; a household's effect is the mean over its months."""
    campaign = plasmode_campaign(2 * n_units, seed=seed)
    spend = campaign.potential["spend"][:, :2]
    arm = np.random.default_rng(seed).integers(0, 2, len(spend))
    household = pd.Series(pd.factorize(campaign.customers["household"])[0])
    truth = pd.Series(spend[:, 1] - spend[:, 0]).groupby(household).transform("mean")
    X = campaign.customers.drop(columns=["unit", "household", "as_of"], errors="ignore")
    return Problem(X, spend[np.arange(len(spend)), arm], arm, truth.to_numpy(), n_units)


PROBLEMS = {"conversion": conversion, "both": both, "vouchers": vouchers}


def qini(effects: Array, truth: Array) -> float:
    """Area between gain and chord, in the outcome's unit."""
    order = np.argsort(-effects, kind="stable")
    place = (np.arange(len(order)) + 0.5) / len(order)
    return float(((0.5 - place) * truth[order]).mean())


def one_row(
    name: str, method: str, two_part: bool, problem: Problem, seed: int
) -> dict[str, object]:
    """Correlation and true Qini on the new customers."""
    old, new = slice(None, problem.seen), slice(problem.seen, None)
    model = METHODS[method](two_part=two_part)
    model.fit(
        problem.X[old], problem.y[old], problem.arm[old], propensity=np.full(problem.seen, 0.5)
    )
    effects, truth = model.predict(problem.X[new])[:, 0], problem.truth[new]
    varies = effects.std() > 0
    return {
        "problem": name,
        "learner": method,
        "parts": "two" if two_part else "one",
        "seed": seed,
        "correlation": np.corrcoef(effects, truth)[0, 1] if varies else 0.0,
        "qini": qini(effects, truth) / qini(truth, truth) if varies else 0.0,
    }


def text_of(rows: pd.DataFrame, taken: dict[str, bool], *, n_units: int) -> str:
    """The page: means over seeds, one line per problem and learner."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("lightgbm", "numpy"))
    lines = [
        "# Revenue in two parts",
        "",
        f"`python benchmarks/models/bench_revenue.py`: {n_units:,} customers to learn from, as "
        f"many new ones to predict, seeds {sorted(set(rows['seed']))}; Python "
        f"{platform.python_version()}, {versions}.",
        "Mean over seeds, with two parts | in one. By itself a learner takes two parts in "
        f"{', '.join(name for name, two in taken.items() if two)} and one in "
        f"{', '.join(name for name, two in taken.items() if not two) or 'none'}.",
        "",
        "| problem | learner | correlation, two | one | share of best Qini, two | one | better |",
        "|---|---|---|---|---|---|---|",
    ]
    for (problem, learner), part in rows.groupby(["problem", "learner"], sort=False):
        wide = part.pivot(index="seed", columns="parts", values=["correlation", "qini"])
        mean = wide.mean()
        wins = int((wide["qini", "two"] > wide["qini", "one"]).sum())
        lines.append(
            f"| {problem} | {learner} | {mean['correlation', 'two']:.3f} | "
            f"{mean['correlation', 'one']:.3f} | {mean['qini', 'two']:.3f} | "
            f"{mean['qini', 'one']:.3f} | {wins} of {len(wide)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all rows and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    rows, taken = [], {}
    for name, seed in product(PROBLEMS, range(given.seeds)):
        problem = PROBLEMS[name](given.units, seed)
        taken[name] = is_two_part(problem.y[: problem.seen])
        for method, two_part in product(METHODS, (False, True)):
            rows.append(one_row(name, method, two_part, problem, seed))
    text = text_of(pd.DataFrame(rows), taken, n_units=given.units)
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
