"""Results in sentences: what was decided, what is at risk, what is not known, what to test next."""

from collections.abc import Iterator
from dataclasses import dataclass

from uplift.analysis.decision import words_of
from uplift.analysis.effects import GUARDRAIL
from uplift.checks import Check, blocked_by
from uplift.evaluation.quality import Quality
from uplift.report.road import Road
from uplift.table import to_plain
from uplift.text.places import Place
from uplift.text.texts import ENGLISH_TEXT, Text, text_of

SHORT = 80  # characters of a headline
PLAIN_POLICIES = ("nobody", "constant", "random", "rule")  # that have words of their own


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
    text = text_of(road.language)
    if road.report is None:
        return Decision("none", text.tell("road.unread"), tuple(_targeting(road, text)))
    action, (first, *others) = road.report.decision.action, _decided(road)
    quality = road.quality
    targets = quality is not None and quality.recommended_policy.kind not in ("nobody", "everyone")
    if quality is not None and targets and action != "none":
        head = text.tell(
            "road.target",
            policy=policy_words(quality.recommended, text),
            share=quality.recommended_policy.share_contacted,
        )
        blanket = text.tell("road.blanket", words=f"{first[0].lower()}{first[1:]}")
        return Decision("target", head, (*_targeting(road, text), blanket, *map(_capital, others)))
    head, colon, rest = first.partition(": ")
    if len(first) <= SHORT or not colon:
        head, rest = first, ""
    told = (rest, *others, *_targeting(road, text))
    sentences = tuple(_capital(sentence) for sentence in told if sentence)
    return Decision(action, head.rstrip(), sentences)


def _decided(road: Road) -> tuple[str, ...]:
    """The sentences of the decision in the language of the road."""
    if road.report is None:
        return ()
    decision = road.report.decision
    if road.language == "en" or not decision.reasons:
        return decision.words
    return words_of(decision.reasons, road.language)


def risks_of(road: Road) -> Iterator[str]:
    """What may go wrong, and who pays for it."""
    text = text_of(road.language)
    if road.report is not None:
        for row in road.report.effects:
            if row.role == GUARDRAIL:
                held = "road.guardrail_holds" if row.proven else "road.guardrail_open"
                yield text.plain(held, Place(to_plain(row)))
    if road.roi is not None:
        best = road.roi.customers.groupby("unit")["profit"].max()
        if (best <= 0).any():
            yield text.tell("road.nothing_pays", share=float((best <= 0).mean()))
    for check in _all_checks(road):
        if not check.passed and check.code != GUARDRAIL.upper():  # guardrails are told above
            yield _check(check, text)


def _check(check: Check, text: Text) -> str:
    """A check in words: in English with all its details, else those of the language."""
    name, remedy, own = check.name.replace("_", " "), check.remedy, f"check.{check.code}"
    if text.language != "en" and text.has(f"{own}.name"):
        place = Place(to_plain(check))
        name, remedy = (text.plain(f"{own}.{part}", place) for part in ("name", "remedy"))
    told = {"name": name.capitalize(), "verdict": check.verdict, "remedy": remedy}
    return text.tell("road.check", **told)


def unknowns_of(road: Road) -> Iterator[str]:
    """What the experiment does not show."""
    text = text_of(road.language)
    if road.report is not None:
        open_effects = [
            text.plain("road.effect", Place(to_plain(row)))
            for row in road.report.effects
            if row.role != GUARDRAIL and not row.proven
        ]
        if open_effects:
            yield text.tell("road.unproven", effects=text.listed(open_effects))
    if road.quality is not None:
        for arm in road.quality.arms[1:]:
            if road.quality.ranking_verdict(arm) == "not proven":
                yield text.tell("road.no_ranking", arm=arm)
    if road.roi is not None:
        yield text.tell("road.one_customer")
    yield text.tell("road.later", days=road.experiment.schedule.response_days)


def next_tests_of(road: Road) -> Iterator[str]:
    """What the next experiment should settle, and what it takes."""
    text = text_of(road.language)
    if road.report is not None:
        proven = {(row.metric, row.treatment) for row in road.report.effects if row.proven}
    else:
        proven = set()
    if road.design is not None:
        titles = {metric.key: metric.title for metric in road.experiment.all_metrics}
        for answer in road.design.answers:
            is_open = answer.role != GUARDRAIL and (answer.metric, answer.treatment) not in proven
            if is_open and answer.n_needed is not None:
                yield text.tell(
                    "road.needed",
                    title=titles.get(answer.metric, answer.metric),
                    treatment=answer.treatment,
                    sought=answer.sought_effect,
                    unit=answer.unit,
                    power=answer.wanted_power,
                    needed=answer.n_needed,
                    n_units=road.design.n_units,
                )
    if road.plan is not None:
        yield text.tell("road.keep_control")
        for price in road.plan.prices:
            if price.binding:
                yield text.tell(
                    "road.price_down" if price.price < 0 else "road.price_up",
                    rule=price.rule,
                    worth=abs(price.price),
                    currency=road.plan.policy.currency,
                )


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def policy_words(policy: str, text: Text = ENGLISH_TEXT) -> str:
    """A policy's name as people say it: `everyone:post` is "post to everyone"."""
    kind, _, arm = policy.partition(":")
    if kind == "everyone" and arm:
        return text.tell("policy.everyone", arm=arm)
    if policy in PLAIN_POLICIES:
        return text.tell(f"policy.{policy}")
    return text.tell("policy.model", model=policy)


def shown_candidate(quality: Quality) -> str:
    """The candidate whose curves are worth looking at: recommended, else the best ranking."""
    ranked = {row.candidate for row in quality.rankings if row.kind == "learner"}
    if quality.recommended_candidate in ranked:
        return quality.recommended_candidate
    learners = [row for row in quality.rankings if row.kind == "learner"] or list(quality.rankings)
    return max(learners, key=lambda row: row.qini).candidate


def _targeting(road: Road, text: Text) -> Iterator[str]:
    quality = road.quality
    if quality is None:
        return
    gain = next(
        (g for g in quality.gains if (g.policy, g.over) == (quality.recommended, "nobody")), None
    )
    yield text.tell(
        "road.targeting" if gain is None else "road.targeting_worth",
        verdict=quality.targeting,
        policy=policy_words(quality.recommended, text),
        gain=None if gain is None else gain.value,
        unit=quality.unit,
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
