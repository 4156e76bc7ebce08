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
# # Who should get the spring voucher, and through which channel?
#
# **Question.** A retailer can send a voucher by e-mail, by post, or offer it by telephone. Which
# customers should get which, and what does that bring?
#
# **Data.** Real households of Complete Journey, with their real purchases before and after; the
# campaign's effect is planted, so the truth is known and stands beside every estimate.
#
# **Answer.** Targeting with an uplift model is proven better than sending one channel to everyone.
# Telephone to everyone loses money. The steps below are the road that every campaign takes.

# %%
import shutil
import tempfile
from pathlib import Path

import uplift as up
from uplift.datasets import complete_journey, plasmode_campaign

project = Path(tempfile.mkdtemp())  # a folder of its own; yours is the checkout
folder = shutil.copytree(
    "../experiments", project / "experiments", ignore=shutil.ignore_patterns("*.db*")
)

# %% [markdown]
# ## Real purchases become one row per customer
#
# Nothing after the first of July is read.

# %%
purchases = complete_journey(["transactions"]).purchases
households = up.customer_view(purchases, as_of="2017-07-01")
households.head()

# %% [markdown]
# The campaign is run on 20,000 customers drawn from these households.

# %%
world = plasmode_campaign(n_units=20_000, seed=7)
customers = world.customers
print(world.label)

# %% [markdown]
# ## The experiment, its design, its seal
#
# What is tested, on whom, read how: in one file. The design says what it can answer; the seal
# freezes both before anybody is contacted.

# %%
experiment = up.load_experiment(project / "experiments" / "spring_voucher")
experiment.table()

# %%
design = up.design(experiment, history=customers)
design

# %%
registry = up.Registry(project / "experiments")
entry = registry.seal(experiment, design)
entry.state

# %% [markdown]
# ## Arms are drawn by hash, outcomes come in

# %%
assigned = up.assign(experiment, customers)
outcomes = world.outcomes(assigned)
assigned.head()

# %% [markdown]
# ## Did the campaign pay?

# %%
report = up.analyse(experiment, assigned, outcomes, customers)
for sentence in report.decision.words:
    print(sentence)

# %%
report.plot()

# %%
report

# %% [markdown]
# ## Who responds to what?
#
# All learners and all baselines run on one shared cross-fit: no customer helps to make its own
# number.

# %%
trial = up.Trial.join(experiment, assigned, outcomes, customers)
suite = up.train(trial, learners=["s", "t", "x", "dr", "response"], seed=7)
suite

# %% [markdown]
# ## Is targeting worth it?
#
# A policy is recommended only when it is proven better than every simpler one.

# %%
quality = up.evaluate(suite, trial)
quality.plot()

# %%
quality

# %% [markdown]
# ## Return on investment, customer by customer
#
# The mean of the doubly robust scores is the campaign's effect, so the table adds up.

# %%
candidate = suite.candidates[quality.recommended_candidate]
roi = up.roi(candidate, trial, experiment.economics)
roi.customers.head()

# %%
roi

# %% [markdown]
# The truth, because it was planted:

# %%
true_profit = world.true_profit(experiment.economics)
gain = (true_profit - true_profit[:, [0]]).mean(axis=0)
dict(zip(world.arms, gain.round(2).tolist(), strict=True))

# %% [markdown]
# ## The next contacts, within a budget and a channel's capacity

# %%
policy = up.ContactPolicy.for_experiment(experiment, budget=15_000, max_volume={"post": 4_000})
plan = up.plan_contacts(roi, policy)
plan.plot()

# %%
plan

# %% [markdown]
# ## Logged, promoted, in production

# %%
tracking = up.Tracking(project)
run = up.log_run(
    experiment, suite, quality, roi, plan, trial=trial, report=report, tracking=tracking
)
promotion = up.promote(run)
promotion

# %%
scored = up.score("models:/spring_voucher@champion", households, tracking=tracking)
scored
