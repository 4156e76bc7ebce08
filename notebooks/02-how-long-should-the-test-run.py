# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How long should the test run, and what can it answer?
#
# **Question.** Before a campaign is sent: how many customers, how many days, how many held out, and
# will the result mean anything?
#
# **Data.** The real e-mail test of Hillstrom (64,000 customers, two weeks) and the real purchases
# of 2,469 Complete Journey households.
#
# **Answer.** A 10 % holdout of 64,000 detects only 66 % of control spend; half of them held out,
# 39 %. Judged by conversion the same holdout shows a rise of 49 %, at no cost. For households that
# buy every week, what they spent before is worth four times as many customers.

# %%
import uplift as up
from uplift.datasets import complete_journey, hillstrom
from uplift.experiment import experiment_from
from uplift.strict_yaml import parse_yaml

# %% [markdown]
# ## The real test: what its own history can answer
#
# Customers who got no e-mail show what two weeks look like when nothing is sent. Where the file is
# not found and cannot be fetched, this cell says where to put it.

# %%
real = hillstrom()
history = real.customers.merge(real.outcomes, on="unit")
untouched = history[(real.assigned["arm"] == "control").to_numpy()]
real.table()

# %% [markdown]
# One e-mail against a holdout of 10 %. The definition is a file like any other; here it is written
# down so that the share can be changed.

# %%
DEFINITION = """
id: email_holdout
title: Does the e-mail sell?
kind: campaign_holdout
owner: crm
objective: grow_revenue_of_existing_customers
hypothesis: An e-mail brings customers of the last twelve months back.
audience: {{description: Bought within twelve months, where: [{{column: recency, at_most: 12}}]}}
arms:
  - {{name: control, share: {holdout}}}
  - {{name: email, share: {rest}, unit_cost: 0.05}}
metrics:
  primary:
    metric: {{name: {column}_14d, version: 1, title: Two weeks, column: {column}, kind: {kind},
             unit: per customer, window_days: 14, owner: crm}}
    minimum_effect: 0.25
schedule: {{starts_at: 2008-03-20T09:00:00, timezone: America/New_York, response_days: 14}}
analysis: {{decision_rule: Send it if it is proven to pay., looks_days: {looks}}}
money: {{currency: USD, value: spend, margin_rate: 0.5}}
"""


SPEND = {"column": "spend", "kind": "mean", "looks": [14]}

tenth = experiment_from(parse_yaml(DEFINITION.format(holdout="1/10", rest="9/10", **SPEND)))
plan = up.design(tenth, untouched, n_units=64_000, covariates=["history", "recency"])
plan.holdout_table()

# %% [markdown]
# **Verdict: a 10 % holdout of 64,000 detects only 66 % of control spend.** A smaller effect,
# however real, would most likely be called "not proven".

# %%
assert round(plan.hardest.mde_relative, 3) == 0.655
print(plan.words())

# %%
plan.plot()

# %% [markdown]
# ## Three ways to answer more, by what they cost
#
# Each is computed from this plan and these customers. What a covariate would save is measured: here
# past spend says next to nothing about the next two weeks, so it is not among them.

# %%
plan.ways_table()

# %% [markdown]
# ## Conversion beside spend
#
# The same 64,000 customers, judged by who buys. Effects that can be shown are a quarter smaller, as
# long as the e-mail works by making more customers buy; larger baskets it does not see.

# %%
CONVERSION = {"column": "conversion", "kind": "proportion", "looks": [14]}

text = DEFINITION.format(holdout="1/10", rest="9/10", **CONVERSION)
by_conversion = up.design(experiment_from(parse_yaml(text)), untouched, n_units=64_000)
by_conversion.holdout_table()

# %% [markdown]
# Spend that is zero for 99 % of customers also makes the test itself err on one side: with a small
# control it says "better" far more often than it should, and "worse" less often.

# %%
plan.revenue_table()

# %% [markdown]
# ## Reading it early
#
# Half held out, and four looks instead of one. Each has its own bound, so that all together err as
# often as one would; the price is a few percent more customers.

# %%
text = DEFINITION.format(holdout="1/2", rest="1/2", **{**SPEND, "looks": [3, 7, 10, 14]})
watched = up.design(experiment_from(parse_yaml(text)), untouched, n_units=64_000)
watched.looks_table()

# %% [markdown]
# ## The rehearsal
#
# The exact plan of the real test (three arms, three metrics, one error for all) is drawn and read
# again and again on these customers. First nothing is planted: whatever it proves is a false alarm.
# Then the share of buyers is raised by half: how often does it see that?

# %%
email_test = up.load_experiment("../experiments/hillstrom_email")
rehearsal = up.simulate_plan(email_test, history, n_replays=400, effect=0.5, path="buyers", seed=7)
rehearsal

# %%
rehearsal.plot()

# %% [markdown]
# ## A campaign to regular customers
#
# Complete Journey households buy every week, so their past says much about their future. Four weeks
# of spend, and thirteen.

# %%
purchases = complete_journey(["transactions"]).purchases
households = up.customer_view(purchases, as_of="2018-01-01")

REGULARS = """
id: voucher_{weeks}_weeks
title: Does the voucher pay?
kind: campaign_holdout
owner: crm
objective: grow_profit_of_existing_customers
hypothesis: A voucher by e-mail makes households spend more.
audience: {{description: Active, where: [{{column: n_baskets_182d, at_least: 1}}]}}
arms:
  - {{name: control, share: 1/2}}
  - {{name: email, share: 1/2, unit_cost: 0.05}}
metrics:
  primary:
    metric: {{name: spend_{days}d, version: 1, title: Spend, column: spend, unit: USD per household,
             window_days: {days}, owner: crm{covariate}}}
    minimum_effect: 0.05
    {expected}
schedule: {{starts_at: 2018-01-02T08:00:00, timezone: America/New_York, response_days: {days}}}
analysis: {{decision_rule: Scale it if it is proven to pay.}}
money: {{currency: USD, value: spend, margin_rate: 0.3}}
"""


plans = {}
for weeks in (4, 13):
    days = 7 * weeks
    spent = households[f"spend_{days}d_before"]
    known = f"expected_mean: {spent.mean()}\n    expected_std_dev: {spent.std()}"
    past = f", covariate: spend_{days}d_before"
    for used, covariate, expected in (("the past", past, ""), ("nothing", "", known)):
        text = REGULARS.format(weeks=weeks, days=days, covariate=covariate, expected=expected)
        plans[weeks, used] = up.design(experiment_from(parse_yaml(text)), households)
        answer = plans[weeks, used].hardest
        print(
            f"{weeks:2d} weeks, adjusted by {used}: smallest effect {answer.mde_relative:.1%} "
            f"(spread explained: {answer.baseline.variance_reduction:.0%})"
        )

# %% [markdown]
# What it takes and what it costs, in words. The holdout's price is the profit that half of the
# households would have brought, if the voucher has the effect that is sought.

# %%
print(plans[13, "the past"].words())

# %% [markdown]
# Read after four weeks, the same customers show less; what would help most, and at what price:

# %%
plans[4, "the past"].ways_table()

# %%
plans[13, "the past"].plot()

# %% [markdown]
# ## Can targeting be proven?
#
# A test that proves an average effect may still be too small to prove that the effect differs, or
# that a model picks the right customers. Neither is known beforehand, so it is stated: effects that
# spread one and a half times the average, and a model whose ranking correlates 0.5 with them.

# %%
definition = REGULARS.format(
    weeks=13, days=91, covariate=", covariate: spend_91d_before", expected=""
).replace("unit_cost: 0.05", "unit_cost: 6.00")
targeting = up.uplift_power(
    experiment_from(parse_yaml(definition)),
    households,
    spread=1.5,
    ranking=0.5,
    multiples=(1, 4, 16, 64),
    n_simulations=200,
    seed=7,
)
targeting

# %%
targeting.plot()
