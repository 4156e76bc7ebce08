"""Results in sentences: what was decided, what is at risk, what is not known, what to test next."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from uplift.analysis.effects import GUARDRAIL, EffectRow
from uplift.checks import Check, blocked_by
from uplift.evaluation.quality import Quality
from uplift.report.road import Road
from uplift.table import format_value

SHORT = 80  # characters of a headline
PLAIN_POLICIES = {
    "nobody": "contact nobody",
    "constant": "any arm to everyone",
    "random": "a lottery",
    "rule": "the simple rule",
}


@dataclass(frozen=True)
class Decision:
    """The first thing a reader sees.

    action  target · scale · stop · retest · none
    """

    action: str
    words: str
    reasons: tuple[str, ...] = ()


def decision_of(road: Road) -> Decision:
    """What to do: target by a policy that is proven, else what the analysis by the plan says.

    A withheld verdict is withheld from models too.
    """
    if road.report is None:
        words = "Not read yet: there is no analysis of this experiment."
        return Decision("none", words, tuple(_targeting(road)))
    action, (first, *others) = road.report.decision.action, road.report.decision.words
    quality = road.quality
    targets = quality is not None and quality.recommended_policy.kind not in ("nobody", "everyone")
    if quality is not None and targets and action != "none":
        share = format_value(quality.recommended_policy.share_contacted, "share")
        head = (
            f"Target with {policy_words(quality.recommended)}: contact {share} of customers, each "
            "with the arm that pays"
        )
        blanket = f"Without targeting: {first[0].lower()}{first[1:]}"
        return Decision("target", head, (*_targeting(road), blanket, *map(_capital, others)))
    head, colon, rest = first.partition(": ")
    if len(first) <= SHORT or not colon:
        head, rest = first, ""
    told = (rest, *others, *_targeting(road))
    return Decision(action, head, tuple(_capital(sentence) for sentence in told if sentence))


def risks_of(road: Road) -> Iterator[str]:
    """What may go wrong, and who pays for it."""
    if road.report is not None:
        for row in road.report.effects:
            if row.role == GUARDRAIL:
                yield _guardrail(row)
    if road.roi is not None:
        best = road.roi.customers.groupby("unit")["profit"].max()
        if (best <= 0).any():
            share = format_value(float((best <= 0).mean()), "share")
            yield f"For {share} of customers no contact is expected to pay; they are left alone."
    for check in _all_checks(road):
        if not check.passed and check.code != GUARDRAIL.upper():  # guardrails are told above
            yield f"{check.name.replace('_', ' ').capitalize()} ({check.verdict}): {check.remedy}"


def unknowns_of(road: Road) -> Iterator[str]:
    """What the experiment does not show."""
    if road.report is not None:
        open_effects = [
            f"“{row.title}” by {_plain(row.treatment)}"
            for row in road.report.effects
            if row.role != GUARDRAIL and not row.proven
        ]
        if open_effects:
            yield f"No effect is proven on {listed(open_effects)}."
    if road.quality is not None:
        for arm in road.quality.arms[1:]:
            if road.quality.ranking_verdict(arm) == "not proven":
                yield (
                    f"For {arm.replace('_', ' ')} no ranking of customers is proven better than a "
                    "lottery."
                )
    if road.roi is not None:
        yield (
            "The effect on a single customer cannot be observed. Ranges per customer are those of "
            "the average among customers with a like prediction."
        )
    window = road.experiment.schedule.response_days
    yield f"Effects later than {window} days after the contact were not measured."


def next_tests_of(road: Road) -> Iterator[str]:
    """What the next experiment should settle, and what it takes."""
    if road.report is not None:
        proven = {(row.metric, row.treatment) for row in road.report.effects if row.proven}
    else:
        proven = set()
    if road.design is not None:
        titles = {metric.key: metric.title for metric in road.experiment.all_metrics}
        for answer in road.design.answers:
            is_open = answer.role != GUARDRAIL and (answer.metric, answer.treatment) not in proven
            if is_open and answer.n_needed is not None:
                yield (
                    f"“{titles.get(answer.metric, answer.metric)}” by {_plain(answer.treatment)}: "
                    f"an effect of {format_value(answer.sought_effect, 'number')} {answer.unit} is "
                    f"proven {format_value(answer.wanted_power, 'share')} of the time with "
                    f"{format_value(answer.n_needed, 'count')} customers; this test had "
                    f"{format_value(road.design.n_units, 'count')}."
                )
    if road.plan is not None:
        yield (
            "Keep a control when the plan is sent: without customers who could have been contacted "
            "and were not, its profit cannot be proven."
        )
        binding = [price for price in road.plan.prices if price.binding]
        for price in binding:
            more = "gives up" if price.price < 0 else "is expected to bring"
            worth = format_value(abs(price.price), "cents")
            yield (
                f"One more unit of “{price.rule}” {more} {worth} {road.plan.policy.currency} of "
                "profit. Try another limit before it is fixed for good."
            )


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _guardrail(row: EffectRow) -> str:
    verdict = "is proven to stay within its margin" if row.proven else "may be harmed too much"
    return (
        f"“{row.title}”, {_plain(row.treatment)}: {verdict} (harm of at most "
        f"{format_value(row.worst, 'number')} is likely, {format_value(row.margin, 'number')} is "
        "accepted)."
    )


def listed(names: Sequence[str]) -> str:
    """Names as people list them: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def policy_words(policy: str) -> str:
    """A policy's name as people say it: `everyone:post` is "post to everyone"."""
    kind, _, arm = policy.partition(":")
    if kind == "everyone" and arm:
        return f"{arm.replace('_', ' ')} to everyone"
    return PLAIN_POLICIES.get(policy, f"the {policy.replace('_', ' ')} model")


def shown_candidate(quality: Quality) -> str:
    """The candidate whose curves are worth looking at: recommended, else the best ranking."""
    ranked = {row.candidate for row in quality.rankings if row.kind == "learner"}
    if quality.recommended_candidate in ranked:
        return quality.recommended_candidate
    learners = [row for row in quality.rankings if row.kind == "learner"] or list(quality.rankings)
    return max(learners, key=lambda row: row.qini).candidate


def _targeting(road: Road) -> Iterator[str]:
    quality = road.quality
    if quality is None:
        return
    gain = next(
        (g for g in quality.gains if (g.policy, g.over) == (quality.recommended, "nobody")), None
    )
    worth = ""
    if gain is not None:
        value = format_value(gain.value, "signed")
        worth = f", {value} {quality.unit} per customer more than contacting nobody"
    yield (
        f"Targeting by a model is {quality.targeting}. Recommended: "
        f"{policy_words(quality.recommended)}{worth}."
    )


def _all_checks(road: Road) -> Iterator[Check]:
    """Warnings and failures of every step, each once."""
    seen = set()
    for result in (road.report, road.quality, road.roi):
        for check in getattr(result, "checks", ()):
            if check not in seen:
                seen.add(check)
                yield check
    if road.plan is not None:
        yield from blocked_by(road.plan.certificate.checks)
        yield from road.plan.notices
