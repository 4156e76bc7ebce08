"""Rehearse a plan: replay its draw and its reading on history, without and with an effect."""

from typing import Any

from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.inference.group_sequential import boundary_of
from uplift.looks import look_days
from uplift.rehearsal.cast import play, rates_of
from uplift.rehearsal.planting import Effect, Path, usual_path
from uplift.rehearsal.replay import Replay
from uplift.rehearsal.result import Rates, Rehearsal
from uplift.rehearsal.script import Script, script_of
from uplift.rehearsal.stage import stage_of
from uplift.rehearsal.verdict import MORE, Judged, placebo_checks, unsettled


def simulate_plan(
    experiment: Experiment,
    history: Any,
    *,
    n_replays: int = 1000,
    n_units: int | None = None,
    effect: float | None = None,
    path: Path | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    read_as: Experiment | None = None,
    peek: bool = False,
) -> Rehearsal:
    """Replay the exact plan on customers to whom nothing was sent.

    Each replay draws arms by the assignment's own rule (method, shares, strata, clusters) with a
    salt of its own, and reads them by the analysis' own functions (estimates, adjustment,
    guardrails, money, checks, decision): every row is that of `assign` and `analyse`. A test is
    proven by the rule of the planned looks with the plan's correction; the decision is that of the
    last look. Each wave is drawn at its own send, sticky or anew as the plan says, and read by its
    own window. What keeps units from being drawn (suppression, contact caps, layers, exposure) is
    not replayed: all eligible customers of history take part.

    history    one row per customer: the audience's columns, those of strata, balance and clusters,
               and outcomes of a window without the campaign (see `stage_of`; for interim looks,
               columns such as `spend_by_day_7`). Of several waves one row per customer and wave,
               with the column `wave` (`history_of_waves` makes them from events)
    n_replays  of the placebo four times as many where that is needed for a verdict (see `verdict`)
    n_units    customers of the plan, drawn from history with replacement; all of history as it is
               when not given
    effect     share by which a planted effect raises the outcome per customer, e.g. 0.05: as many
               replays more, with the same draws
    path       `baskets` or `buyers` (see `planting`); when not given as the design counts: buyers
               where a proportion decides, or spend that is 0 for most customers
    n_jobs     processes; when not given all cores, if that is worth starting them. Changes the time
               only, never a number
    read_as    another definition to read the same draws by, e.g. without the clusters: what a wrong
               reading would do
    peek       read every look as if it were the only one: what peeking would do

    The checks called PLACEBO block when the plan errs more often than it says (`verdict`).

    Errors: REPLAYS_INVALID, EFFECT_INVALID, PATH_INVALID and those of `stage_of`.
    """
    if n_replays < 1 or seed < 0 or (n_jobs is not None and n_jobs < 1):
        raise DefinitionError(
            f"n_replays and n_jobs must be 1 or more and seed 0 or more, got {n_replays}, {n_jobs} "
            f"and {seed}. Usual: 1000, 2 and 0.",
            code="REPLAYS_INVALID",
        )
    stage = stage_of(experiment, history, n_units=n_units, seed=seed)
    planted = None
    if effect is not None:
        planted = Effect(effect, path or usual_path(experiment, stage.outcomes))
    script = script_of(experiment, stage, read_as=read_as, peek=peek, seed=seed)
    placebo, judged = _placebo(script, n_replays, n_jobs)
    power = None
    if planted is not None:
        shown = play(script, range(n_replays), planted, n_jobs=n_jobs, label="power replays")
        power = rates_of(script, shown)
    days = look_days(script.read_as)
    return Rehearsal(
        experiment=experiment.id,
        digest=experiment.digest,
        n_units=stage.n_units,
        n_replays=n_replays,
        seed=seed,
        alpha=script.alpha,
        nominal=_nominal(script),
        looks_days=tuple(days[place] for place in script.places),
        placebo=placebo,
        power=power,
        planted="" if planted is None else planted.words(),
        wanted=_wanted(experiment, planted),
        checks=(
            *placebo_checks(judged),
            *stage.checks,
            *script.readings[-1].checks,
        ),
    )


def _placebo(
    script: Script, n_replays: int, n_jobs: int | None
) -> tuple[Rates, tuple[Judged, ...]]:
    """Replays without an effect, and more of them where they leave the verdict open."""

    def judge(replays: list[Replay]) -> tuple[Rates, tuple[Judged, ...]]:
        rates = rates_of(script, replays)
        return rates, rates.judged(nominal=_nominal(script), alpha=script.alpha)

    replays = play(script, range(n_replays), n_jobs=n_jobs, label="placebo replays")
    found = judge(replays)
    if unsettled(found[1]):
        more = range(n_replays, MORE * n_replays)
        label = "placebo replays, to be sure"
        found = judge(replays + play(script, more, n_jobs=n_jobs, label=label))
    return found


def _wanted(experiment: Experiment, planted: Effect | None) -> float | None:
    """The power that the plan promises of the planted effect, if it promises any."""
    sought = experiment.metrics.primary.minimum_effect
    if planted is None or sought is None or abs(planted.relative) < sought * (1 - 1e-9):
        return None
    return experiment.analysis.power


def _nominal(script: Script) -> float:
    """Error of a single test over the looks that are replayed: less than alpha if some are not."""
    if script.peek:
        return script.alpha
    boundary = script.looks.boundary(script.alpha)
    kept = list(script.places)
    return float(boundary_of(boundary.z[kept], boundary.fractions[kept]).spent[-1])
