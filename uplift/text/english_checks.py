"""English words of checks, by code: what each is called, and what to do when it does not hold.

A sentence is filled from the check: `{value}` is what was found, `{bound}` what was required.
"""

ENGLISH_CHECKS = {
    "check.other.name": "{name:name}",
    "check.of": " ({name:of})",
    "check.other.remedy": "{remedy}",
    "check.SRM.name": "Sample ratio",
    "check.SRM.remedy": (
        "the arms did not get the shares of customers they were designed to get (p value "
        "{value:p_value}, alarm below {bound:plain}). No effect can be trusted until the cause is "
        "found: customers lost or left out after the draw, a join that drops rows, an arm that was "
        "delivered differently."
    ),
    "check.ADOPTED_DESPITE.name": "Assignment taken over",
    "check.ADOPTED_DESPITE.remedy": (
        "the arms are not alike by the draw ({value}), and the assignment was taken over all the "
        "same. Its numbers never carry a verdict."
    ),
    "check.SRM_STAGE.name": "Sample ratio on the way",
    "check.SRM_STAGE.remedy": (
        "the versions were not sent or delivered in their designed shares (p value "
        "{value:p_value}). The effect of being assigned holds; those who were reached are not "
        "alike between versions."
    ),
    "check.OUTCOME_ATTRITION.name": "Missing outcomes",
    "check.OUTCOME_ATTRITION.remedy": (
        "the arms lost different shares of their customers (p value {value:p_value}, alarm below "
        "{bound:plain}), so those left are not alike. Find out why outcomes are missing."
    ),
    "check.BALANCE.name": "Arms alike before the send",
    "check.BALANCE.remedy": (
        "what was known before the send differs between an arm and the control by more than chance "
        "explains (p value {value:p_value}, alarm below {bound:plain}). Look for customers removed "
        "or added after the draw."
    ),
    "check.PRE_PERIOD_BIAS.name": "No effect before the send",
    "check.PRE_PERIOD_BIAS.remedy": (
        "the metric differed between the arms before anything was sent (p value {value:p_value}, "
        "alarm below {bound:plain}). Look for customers removed or added after the draw, an arm "
        "chosen by hand, or an earlier test that still works on."
    ),
    "check.WINDOW_OPEN.name": "Response window",
    "check.WINDOW_OPEN.remedy": (
        "outcomes are still coming in ({value:plain}). Customers are read once their window has "
        "closed."
    ),
    "check.GUARDRAIL.name": "Guardrail",
    "check.GUARDRAIL.remedy": (
        "harm of up to {value:number} is not excluded, and {bound:number} is accepted. The version "
        "is not scaled."
    ),
    "check.CONTAMINATION.name": "Holdout left alone",
    "check.CONTAMINATION.remedy": (
        "{value:share} of the control were contacted all the same. The effect of being assigned is "
        "kept; it is smaller than it would be without the leak. Look for a second id of the same "
        "customer, another sender, a list that came late."
    ),
    "check.INFLUENCE.name": "Not the story of a few customers",
    "check.INFLUENCE.remedy": (
        "without the {bound:count} largest customers an effect on the primary metric is not "
        "proven. Read it beside a capped metric."
    ),
    "check.OUTCOME_DOMINATED.name": "No customer dominates",
    "check.OUTCOME_DOMINATED.remedy": (
        "one customer holds {value:share} of the metric, so its mean is that customer's story. "
        "Read the effect with that customer cut to the next largest."
    ),
    "check.SKEWED_INTERVAL.name": "Few customers, skewed spend",
    "check.SKEWED_INTERVAL.remedy": (
        "the usual interval would be wrong on one side {value:share} of the time instead of "
        "{bound:share} at most, so the one corrected for skewness is shown."
    ),
    "check.QUANTILE_UNDEFINED.name": "Quantile",
    "check.QUANTILE_UNDEFINED.remedy": (
        "so many customers share the value {value:plain} that it has no error. Read the share of "
        "customers above a fixed amount instead."
    ),
    "check.NO_VARIATION.name": "Something to compare",
    "check.NO_VARIATION.remedy": "{value} is the same for every customer, so it says nothing.",
    "check.COVARIATE_UNUSED.name": "Adjustment as planned",
    "check.COVARIATE_UNUSED.remedy": (
        "the planned covariate {value} could not be used, so the interval is wider than it could "
        "be."
    ),
    "check.COVARIATE_MISSING.name": "History of customers",
    "check.COVARIATE_MISSING.remedy": (
        "{value:share} of customers have no history; they keep the mean and a mark."
    ),
    "check.SEGMENT_NOT_ESTIMABLE.name": "Segments large enough",
    "check.SEGMENT_NOT_ESTIMABLE.remedy": (
        "{value:count} segment(s) have no number. Join small segments before the test."
    ),
    "check.SEGMENTS_MANY.name": "Number of segments",
    "check.SEGMENTS_MANY.remedy": (
        "{value:count} intervals that hold together are very wide. Ask about the segments a "
        "decision depends on."
    ),
    "check.NEEDS_ROWS.name": "Read from a table by its moments",
    "check.NEEDS_ROWS.remedy": (
        "moments cannot tell {value}. Read the experiment from its rows where that matters."
    ),
    "check.ARM_TOO_SMALL.name": "Size of the arms",
    "check.ARM_TOO_SMALL.remedy": "an arm has {value:count} customers only: intervals are rough.",
    "check.TIME_FUTURE.name": "Times of outcomes and contacts",
    "check.TIME_FUTURE.remedy": (
        "{value:count} outcome(s) or contact(s) are stamped in the future and held back. Set the "
        "clock of the system that wrote them right, and bring them in again."
    ),
    "check.OUTCOME_BEFORE_ASSIGNMENT.name": "Outcomes after the draw",
    "check.OUTCOME_BEFORE_ASSIGNMENT.remedy": (
        "{value:count} row(s) of outcomes are from before their customers were assigned and were "
        "left out, as asked for. Find out why they are in the table."
    ),
    "check.ID_DUPLICATE.name": "One row per customer",
    "check.ID_DUPLICATE.remedy": (
        "{value:count} customer(s) have several rows of outcomes, read by the rule that was asked "
        "for. See that no row is there twice."
    ),
    "check.ID_WHITESPACE.name": "Ids without blanks",
    "check.ID_WHITESPACE.remedy": (
        "blanks around {value:count} id(s) were removed. Trim them at the source."
    ),
    "check.EXPOSED_UNASSIGNED.name": "Everybody is assigned",
    "check.EXPOSED_UNASSIGNED.remedy": (
        "{value:count} customer(s) have outcomes but no assignment; they are left out, never "
        "counted as control. Find out where they come from."
    ),
    "check.ID_LOOKS_PII.name": "Pseudonymous ids",
    "check.ID_LOOKS_PII.remedy": (
        "{value:count} id(s) look like personal data. Replace them by a pseudonym before the "
        "import."
    ),
    "check.PULL_FORWARD.name": "Purchases brought forward",
    "check.PULL_FORWARD.remedy": (
        "the gain of the first weeks was followed by a loss: purchases were brought forward. "
        "Decide on the total."
    ),
    "check.SURROGACY.name": "Long term from early signs",
    "check.SURROGACY.remedy": (
        "in a test known to its end the early signs missed a part of the long-term effect (p value "
        "{value:p_value}). Wait for the long term."
    ),
    "check.SURROGACY_UNTESTED.name": "Early signs tried in a finished test",
    "check.SURROGACY_UNTESTED.remedy": (
        "no test known to its end has tried whether campaigns work through the early signs only. "
        "Give one."
    ),
    "check.SURROGATE_OVERLAP.name": "Early signs learned from others",
    "check.SURROGATE_OVERLAP.remedy": (
        "{value:count} customer(s) of the test are also in the history of the early signs. Learn "
        "from other customers."
    ),
    "check.INDEX_WEAK.name": "Early signs that say something",
    "check.INDEX_WEAK.remedy": (
        "the early signs explain {value:share} of the long term only. Add some that lead to it, or "
        "wait."
    ),
    "check.REREAD_UNPLANNED.name": "Re-reads as planned",
    "check.REREAD_UNPLANNED.remedy": (
        "the plan names no days of re-reads: these may have been chosen by a look."
    ),
    "check.REREAD_CHANGED.name": "Re-reads that stay",
    "check.REREAD_CHANGED.remedy": (
        "what was recorded for day {value:plain} now reads otherwise. The record stays; find out "
        "which responses came late or were taken back."
    ),
    "check.METRIC_NOT_ADDITIVE.name": "Metric that adds up",
    "check.METRIC_NOT_ADDITIVE.remedy": (
        "{value} is a ratio, and that of several periods is not the sum of theirs; the profit is "
        "read."
    ),
    "check.CAP_NOT_APPLIED.name": "Cap of the metric",
    "check.CAP_NOT_APPLIED.remedy": (
        "the cap of {value:number} is of the metric's own window; the long term is read without "
        "it, so one customer may weigh much."
    ),
    "check.REDEMPTION_UNKNOWN.name": "All costs counted",
    "check.REDEMPTION_UNKNOWN.remedy": (
        "redeemed vouchers cost something, but the plan names no outcome that counts them: the "
        "profit leaves them out, so it is too high."
    ),
}
