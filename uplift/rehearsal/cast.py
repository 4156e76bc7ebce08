"""Many replays of one script, on several processes, and how often they found what.

Each process learns the script once, when it starts: sent with each piece of work, it would cost as
much as the replays.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
import numpy as np

from uplift.analysis.effects import GUARDRAIL
from uplift.experiment import Experiment
from uplift.progress import track
from uplift.rehearsal.planting import Effect
from uplift.rehearsal.replay import Replay, replay
from uplift.rehearsal.result import GuardrailRate, Rates, TestRate
from uplift.rehearsal.script import Script
from uplift.rehearsal.verdict import Rate

CHUNK = 20  # replays of one piece of work: few enough for a smooth bar
WORTH_STARTING = 8.0  # seconds of work left from which on more processes are started
_KNOWN: dict[int, Script] = {}  # of this process: the script it plays


def play(
    script: Script,
    numbers: range,
    effect: Effect | None = None,
    *,
    n_jobs: int | None,
    label: str,
) -> list[Replay]:
    """The replays with these numbers, in their order; with a bar.

    n_jobs  processes; when not given as many as there are cores, if the first replays show that
            starting them is worth it
    """
    chunks = [numbers[i : i + CHUNK] for i in range(0, len(numbers), CHUNK)]
    found = _in_turn(script, chunks, effect, n_jobs)
    return [one for replays in track(found, label=label, total=len(chunks)) for one in replays]


def rates_of(script: Script, replays: Sequence[Replay]) -> Rates:
    """How often each thing was found."""
    n = len(replays)

    def count(of: Callable[[Replay], Any]) -> Rate:
        return Rate(sum(bool(of(one)) for one in replays), n)

    def counts(of: Callable[[Replay], Any]) -> list[Rate]:
        return [Rate(int(found), n) for found in np.sum([of(one) for one in replays], axis=0)]

    alone, upside = counts(lambda one: one.alone), counts(lambda one: one.upside)
    family, better = counts(lambda one: one.family), counts(lambda one: one.better)
    holds = counts(lambda one: one.holds)
    silent = {m.key for m in script.read_as.all_metrics if m.column in script.stage.silent}
    return Rates(
        tests=tuple(
            TestRate(
                metric=metric,
                role=role,
                treatment=arm,
                known=metric not in silent,
                alone=alone[i],
                upside=upside[i],
                family=family[i],
                better=better[i],
            )
            for i, (metric, role, arm) in enumerate(_tests(script.read_as, guardrails=False))
        ),
        guardrails=tuple(
            GuardrailRate(metric, arm, holds[i])
            for i, (metric, _, arm) in enumerate(_tests(script.read_as, guardrails=True))
        ),
        any_proven=count(lambda one: one.family.any()),
        scaled=count(lambda one: one.action == "scale"),
        stopped=count(lambda one: one.action == "stop"),
        retested=count(lambda one: one.action == "retest"),
        withheld=count(lambda one: one.action == "none"),
    )


def _in_turn(
    script: Script, chunks: Sequence[range], effect: Effect | None, n_jobs: int | None
) -> Iterator[list[Replay]]:
    """Each piece of work, here or elsewhere."""
    _learn(script)
    if n_jobs is None:
        started = time.perf_counter()
        yield _played(chunks[0], effect)
        chunks = chunks[1:]
        alone = (time.perf_counter() - started) * len(chunks)
        n_jobs = joblib.cpu_count() if alone > WORTH_STARTING else 1
    if n_jobs == 1 or len(chunks) <= 1:
        yield from (_played(chunk, effect) for chunk in chunks)
        return
    with joblib.parallel_config("loky", initializer=_learn, initargs=(script,)):
        jobs = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
        yield from jobs(joblib.delayed(_played)(chunk, effect) for chunk in chunks)


def _learn(script: Script) -> None:
    """Let this process know the script that it is about to play."""
    _KNOWN[0] = script


def _played(numbers: range, effect: Effect | None) -> list[Replay]:
    script = _KNOWN[0]
    return [replay(script, number, effect) for number in numbers]


def _tests(experiment: Experiment, *, guardrails: bool) -> Iterator[tuple[str, str, str]]:
    """Metric, role and treatment of each test, in the order of the effects."""
    for role, planned in experiment.metrics.with_roles():
        tested = guardrails or not planned.metric.delivery
        if (role == GUARDRAIL) == guardrails and tested:
            for arm in experiment.treatments:
                yield planned.metric.key, role, arm.name
