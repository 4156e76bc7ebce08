"""Definitions of small experiments on spend: what is told is changed, the rest is usual."""

HALVES = (
    "{name: control, share: 0.5}",
    "{name: email, share: 0.5, channel: email, unit_cost: 0.05}",
)
EXPECTED = {"expected_mean": 10, "expected_std_dev": 5, "minimum_effect": 0.1}
PLAN = """
id: {id}
title: {title}
kind: {kind}
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: Everyone}}
arms:
{arms}
metrics:
  primary:
    metric: {{name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: {days},
             owner: crm{metric}}}
{expected}{secondary}{funnel}  no_guardrails_because: A test.
schedule: {schedule}
analysis: {{decision_rule: Scale what is proven.{analysis}}}
money: {{currency: EUR, value: spend, margin_rate: {margin_rate}{money}}}
"""


def spend_plan(
    *,
    id="voucher",
    title="Voucher",
    kind="campaign_holdout",
    arms=HALVES,
    days=7,
    metric="",
    expected=EXPECTED,
    secondary=(),
    funnel="",
    schedule="{starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 7}",
    analysis="",
    margin_rate=0.3,
    money="",
) -> str:
    """The text of a definition.

    arms, secondary            one YAML mapping each; of a secondary metric that of `metric:`, and
                               after a line break what else is planned of it
    metric, analysis, money    further keys, e.g. "looks_days: [7]"
    expected                   of the primary metric
    """
    more = [f"    - metric: {one}\n" for one in secondary]
    return PLAN.format(
        id=id,
        title=title,
        kind=kind,
        arms="\n".join(f"  - {arm}" for arm in arms),
        days=days,
        metric=_further(metric),
        expected="".join(f"    {key}: {value}\n" for key, value in expected.items()),
        secondary="".join(["  secondary:\n", *more]) if more else "",
        funnel=f"  funnel: {funnel}\n" if funnel else "",
        schedule=schedule,
        analysis=_further(analysis),
        margin_rate=margin_rate,
        money=_further(money),
    )


def share_of(name: str, title: str, column: str, more: str = "") -> str:
    """A secondary metric: a share of customers within 7 days."""
    return (
        f"{{name: {name}, version: 1, title: {title}, column: {column}, kind: proportion, "
        f"unit: share, window_days: 7, owner: crm{_further(more)}}}"
    )


def _further(keys: str) -> str:
    return f", {keys}" if keys else ""
