"""Rehearse a plan: replay its draw and its reading on history, without and with an effect."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import joblib
import numpy as np

from uplift.analysis.effects import GUARDRAIL
from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.inference.group_sequential import boundary_of
from uplift.looks import look_days
from uplift.progress import track
from uplift.rehearsal.planting import Effect, Path, usual_path
from uplift.rehearsal.replay import Replay, Script, replay, script_of
from uplift.rehearsal.result import (
    GuardrailRate,
    Rate,
    Rates,
    Rehearsal,
    TestRate,
    placebo_checks,
)
from uplift.rehearsal.stage import stage_of

CHUNK = 20  # replays of one job: enough to pay for its journey, few enough for a smooth bar


def simulate_plan(
    experiment: Experiment,
    history: Any,
    *,
    n_replays: int = 1000,
    effect: float | None = None,
    path: Path | None = None,
    seed: int = 0,
    n_jobs: int = 2,
    read_as: Experiment | None = None,
    peek: bool = False,
) -> Rehearsal:
    """Replay the exact plan on customers to whom nothing was sent.

    Each replay draws arms by the assignment's own rule (method, shares, strata, clusters) with a
    salt of its own, and reads them by the analysis' own functions (estimates, adjustment,
    guardrails, money, decision). A test is proven by the bounds of the planned looks with Holm's
    steps (`planned_looks.holm_at_looks`), which with one look is the analysis' own correction. What
    keeps units from being drawn (suppression, contact caps,
    layers, exposure) is not replayed: all eligible customers of history take part. Decisions are
    taken at the last look.

    history    one row per customer: the audience's columns, those of strata, balance and clusters,
               and outcomes of a window without the campaign (see `stage_of`; for interim looks,
               columns such as `spend_by_day_7`)
    effect     share by which a planted effect raises the outcome per customer, e.g. 0.05: as many
               replays more, with the same draws
    path       `baskets` or `buyers` (see `planting`); buyers where a proportion decides
    n_jobs     processes; changes the time only, never a number
    read_as    another definition to read the same draws by, e.g. without the clusters: what a wrong
               reading would do
    peek       read every look as if it were the only one: what peeking would do

    The checks called PLACEBO block when the plan errs more often than it says (`placebo_checks`).

    Errors: REPLAYS_INVALID, EFFECT_INVALID, PATH_INVALID and those of `stage_of`.
    """
    if n_replays < 1 or seed < 0 or n_jobs < 1:
        raise DefinitionError(
            f"n_replays and n_jobs must be 1 or more and seed 0 or more, got {n_replays}, {n_jobs} "
            f"and {seed}. Usual: 1000, 2 and 0.",
            code="REPLAYS_INVALID",
        )
    planted = None if effect is None else Effect(effect, path or usual_path(experiment))
    stage = stage_of(experiment, history)
    script = script_of(experiment, stage, read_as=read_as, peek=peek, seed=seed)
    placebo = _rates(script, _run(script, n_replays, None, n_jobs, "placebo replays"))
    power = None
    if planted is not None:
        power = _rates(script, _run(script, n_replays, planted, n_jobs, "power replays"))
    nominal = _nominal(script)
    days = look_days(script.read_as)
    return Rehearsal(
        experiment=experiment.id,
        digest=experiment.digest,
        n_units=stage.n_units,
        n_replays=n_replays,
        seed=seed,
        alpha=script.alpha,
        nominal=nominal,
        looks_days=tuple(days[place] for place in script.places),
        placebo=placebo,
        power=power,
        planted="" if planted is None else planted.words(),
        checks=(
            *placebo_checks(placebo, nominal=nominal, alpha=script.alpha),
            *stage.checks,
            *script.readings[-1].checks,
        ),
    )


def _nominal(script: Script) -> float:
    """Error of a single test over the looks that are replayed: less than alpha if some are not."""
    if script.peek:
        return script.alpha
    boundary = script.looks.boundary(script.alpha)
    kept = list(script.places)
    return float(boundary_of(boundary.z[kept], boundary.fractions[kept]).spent[-1])


def _run(
    script: Script, n_replays: int, effect: Effect | None, n_jobs: int, label: str
) -> list[Replay]:
    """Every replay in order, on `n_jobs` processes."""
    chunks = [range(i, min(i + CHUNK, n_replays)) for i in range(0, n_replays, CHUNK)]
    found: Iterable[list[Replay]]
    if n_jobs == 1 or len(chunks) == 1:
        found = (_chunk(script, chunk, effect) for chunk in chunks)
    else:
        jobs = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
        found = jobs(joblib.delayed(_chunk)(script, chunk, effect) for chunk in chunks)
    done = track(found, label=label, total=len(chunks))
    return [one for replays in done for one in replays]


def _chunk(script: Script, numbers: range, effect: Effect | None) -> list[Replay]:
    return [replay(script, number, effect) for number in numbers]


def _rates(script: Script, replays: Sequence[Replay]) -> Rates:
    def count(of: Callable[[Replay], Any]) -> Rate:
        return Rate(sum(bool(of(one)) for one in replays), len(replays))

    alone = np.sum([one.alone for one in replays], axis=0).tolist()
    family = np.sum([one.family for one in replays], axis=0).tolist()
    better = np.sum([one.better for one in replays], axis=0).tolist()
    holds = np.sum([one.holds for one in replays], axis=0).tolist()
    n = len(replays)
    return Rates(
        tests=tuple(
            TestRate(metric, role, arm, Rate(alone[i], n), Rate(family[i], n), Rate(better[i], n))
            for i, (metric, role, arm) in enumerate(_tests(script.read_as, guardrails=False))
        ),
        guardrails=tuple(
            GuardrailRate(metric, arm, Rate(holds[i], n))
            for i, (metric, _, arm) in enumerate(_tests(script.read_as, guardrails=True))
        ),
        any_proven=count(lambda one: one.family.any()),
        scaled=count(lambda one: one.action == "scale"),
        stopped=count(lambda one: one.action == "stop"),
        retested=count(lambda one: one.action == "retest"),
        withheld=count(lambda one: one.action == "none"),
    )


def _tests(experiment: Experiment, *, guardrails: bool) -> Iterator[tuple[str, str, str]]:
    """Metric, role and treatment of each test, in the order of the effects."""
    for role, planned in experiment.metrics.with_roles():
        if (role == GUARDRAIL) == guardrails:
            for arm in experiment.treatments:
                yield planned.metric.key, role, arm.name
