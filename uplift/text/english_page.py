"""English words of the page of an analysis. Values come from the report's JSON."""

PAGE = {
    "page.eyebrow": "{experiment} · read as of {as_of:moment}",
    "page.eyebrow_now": "{experiment}",
    "page.provisional": "Provisional: outcomes are still coming in",
    "page.footer": "Written by uplift. Every number names the key of the JSON in this page.",
    "page.colon": ": ",
    "headline.scale": "Scale {arm:name}: its profit is proven",
    "tile.profit": "Incremental profit, {arm:name}",
    "tile.range": (
        "between {total_ci[0]:money} and {total_ci[1]:money}, from the {n_units:count} customers "
        "who were assigned it"
    ),
    "risk.first": "What may go wrong: ",
    "risk.none": "no check and no guardrail speaks against this reading.",
    "section.amendments.title": "What was changed after sealing",
    "section.amendments.lead": "The experiment was not run exactly as it was promised.",
    "section.money.title": "What it brings",
    "section.money.lead": (
        "Profit over the control, from the customers who were assigned each version. Ranges hold "
        "with {confidence:confidence} confidence; one that includes zero means: not proven."
    ),
    "section.money.withheld": (
        "There is no verdict, so these numbers are not to be used for a decision. They are shown "
        "to find the cause or to follow the test."
    ),
    "section.who.title": "Who responds",
    "section.who.lead": (
        "Effects by segments that were named before the test. All ranges hold together, so the "
        "best of them may be trusted as much as the others."
    ),
    "section.risk.title": "What may go wrong",
    "section.unknown.title": "What we do not know",
    "section.next.title": "What to do next",
    "section.method.title": "Evidence",
    "section.method.lead": "For those who want to check.",
    "section.effects.title": "Effects by the sealed plan",
    "section.looks.title": "The way along the looks",
    "section.looks.lead": (
        "A look proves an effect when its mark is beyond the bounds. All looks together err as "
        "rarely as one would."
    ),
    "section.funnel.title": "From delivery to purchase",
    "section.delivery.title": "Who was reached",
    "section.spend.title": "More buyers, or larger baskets",
    "section.waves.title": "Wave by wave",
    "section.influence.title": "How much hangs on a few customers",
    "section.belief.title": "A belief beside the test",
    "section.checks.title": "Checks",
    "section.how.title": "Method",
    "section.digests.title": "Where the numbers come from",
    "given_away.bounds": (
        "Of the discounts of {arm:name}, between {given_away.bounds[0]:cents} and "
        "{given_away.bounds[1]:cents} {currency:currency} went to customers who would have bought "
        "anyway (with the uncertainty of the sample: {given_away.ci[0]:cents} to "
        "{given_away.ci[1]:cents})."
    ),
    "given_away.how": (
        "Who would have bought anyway cannot be seen customer by customer, so there is a range and "
        "no point. It holds if a voucher is redeemed with a purchase and once per customer, and if "
        "the campaign keeps nobody from buying."
    ),
    "given_away.no metric of buyers": (
        "How much discount of {arm:name} went to customers who would have bought anyway is not "
        "known: no planned metric says who bought."
    ),
    "given_away.clusters": (
        "How much discount of {arm:name} went to customers who would have bought anyway is not "
        "known: it is not computed where clusters were randomised."
    ),
    "given_away.several each": (
        "How much discount of {arm:name} went to customers who would have bought anyway is not "
        "known: customers redeemed more than once, or the control redeemed too."
    ),
    "holdout": (
        "Price of knowing: with {arm:name}, the {holdout_units:count} customers of the control "
        "would have brought {holdout_profit:money} {currency:currency} (between "
        "{holdout_ci[0]:money} and {holdout_ci[1]:money})."
    ),
    "ledger.margin": "Margin that was won",
    "ledger.contact_cost": "Contacts",
    "ledger.redemption_cost": "Discounts redeemed",
    "ledger.total": "Profit",
    "who.none": (
        "The plan named no segments, so this test does not say who responds. Segments looked for "
        "afterwards would find something by chance."
    ),
    "who.differ": (
        "{by:name}, {what:term}, {treatment:name}: it is proven that the segments differ "
        "(p value {difference.p_value:p_value})."
    ),
    "who.alike": (
        "{by:name}, {what:term}, {treatment:name}: it is not proven that the segments differ "
        "(p value {difference.p_value:p_value})."
    ),
    "leak": (
        "{leak.leak_share:share} of the control were reached all the same. Against {arm:name} the "
        "measured effect is {leak.assigned.effect:signed}; without the leak it would be "
        "{leak.if_alike:signed} {leak.if_alike_ci:interval}, if those customers respond as the "
        "others do."
    ),
    "influence.undone": (
        "{treatment:name}, {what:term}: {influence.undone_by:count} customer(s), chosen to "
        "hurt, would be enough to leave the effect not proven."
    ),
    "unknown.effect": (
        "{title}, {treatment:name}: {verdict:term}. Anything in {estimate.ci:interval} {unit:unit} "
        "fits the data."
    ),
    "unknown.withheld": "What the campaign does: there is no verdict yet.",
    "unknown.guardrails": "No guardrail was planned: what the campaign may harm was not watched.",
    "unknown.delivery": (
        "Who was reached: no log of contacts was given, so the effect is that of being assigned."
    ),
    "unknown.later": "What happens after the response window was not measured.",
    "unknown.customer": "The effect on a single customer cannot be observed, only that of a group.",
    "next.scale": (
        "Give {arm:name} to everyone but a holdout that is kept, and read it again after some "
        "months: a gain may be a purchase brought forward."
    ),
    "next.stop": "Do not repeat it. Test another offer, another channel or a lower cost.",
    "next.retest": "Repeat it larger, or with an offer whose effect should be larger.",
    "next.none": "Remove the reason why there is no verdict, then read again by the same plan.",
    "next.wait": "Go on as planned: it is too early, and nothing is at fault.",
    "next.size": "To halve the width of a range takes four times as many customers.",
    "next.look": "The next look of the plan is on day {day:plain} after the launch.",
    "change.scale": (
        "What would change this decision: a kept holdout that earns as much, or a guardrail that "
        "no longer holds."
    ),
    "change.stop": "What would change this decision: a range of profit that includes zero again.",
    "change.retest": "What would change this decision: a range of profit that lies above zero.",
    "change.none": "What would change this: checks that hold, and windows that have closed.",
    "change.wait": "What would change this: the next look of the plan, or its last day.",
    "beside.unadjusted": "plain difference",
    "beside.uncapped": "without the cap",
    "beside.winsorised": "largest customer cut to {cap:number}",
    "reached.assigned": "of being assigned",
    "reached.reached": "of being reached",
    "reached.no_leak": "without the leak, if all respond alike",
    "reached.bounds": "without the leak, at least and at most",
    "spend.buyers": "more buyers",
    "spend.baskets": "larger baskets",
    "spend.whole": "together",
    "how.assigned": (
        "Effects are those of being assigned: customers are compared as they were drawn, whether "
        "or not the contact reached them."
    ),
    "how.confidence": "Every interval holds with {confidence:confidence} confidence.",
    "how.family": (
        "Primary and secondary metrics of all versions share one error rate, by the correction of "
        "the plan; guardrails must all hold."
    ),
    "how.Welch": "Plain difference: two means with unequal variances.",
    "how.Lin": (
        "Adjusted: what customers did before explains a part of the spread, fitted in each arm."
    ),
    "how.score": "Two shares: the interval that also holds for few events, on each side.",
    "how.skewness corrected": "Skewness corrected: an interval that is right on both sides.",
    "how.post-stratified": "By stratum: every stratum weighs as much as in the whole audience.",
    "how.by cluster": "By cluster: the error is that of the clusters that were drawn.",
    "how.by cluster, adjusted": (
        "By cluster, adjusted: what clusters did before explains a part of the spread."
    ),
    "how.ratio, adjusted": (
        "Ratio, adjusted: what customers did before explains a part of the spread of both sums."
    ),
    "how.quantile": "Quantile: the interval lies between two customers in the order of values.",
    "how.by customer": "By customer: a customer who is in several waves counts as one.",
    "how.ratio": "Ratio: the error of both sums, which move together.",
    "how.looks": "Looks share the error along the plan; intervals are as wide as that asks for.",
    "how.segments": "Intervals of segments hold together, over all segments and versions.",
    "how.decision": (
        "The rule: no verdict without intact arms and closed windows; a version is scaled when its "
        "profit is proven and its guardrails hold; between versions that are not proven to differ "
        "the cheaper one wins."
    ),
    "digest.experiment": "experiment",
    "digest.digest": "definition",
    "digest.data_digest": "joined data",
}

TABLES = {
    "table.ranges": "Incremental profit",
    "table.ranges.note": "At least and at most are the ends of the range of the total.",
    "table.ledger": "Ledger",
    "table.ledger.note": "To the cent; the lines add up to the profit. Costs are what was paid.",
    "table.segments": "Effects by segment",
    "table.segments.note": (
        "Expected again: what to count on next time, drawn towards the mean of the segments."
    ),
    "table.units": "Customers per version",
    "table.effects": "Effects",
    "table.effects.note": "The p value is corrected over all tests of the family.",
    "table.beside": "The same effects, read otherwise",
    "table.beside.note": "For comparison; the verdict is that of the table above.",
    "table.differences": "Between versions",
    "table.looks": "Looks taken",
    "table.ahead": "Looks to come",
    "table.funnel": "Funnel",
    "table.funnel.note": "Per assigned customer, so that stages can be compared.",
    "table.delivery": "Assigned, sent, delivered",
    "table.reached": "Effects on the primary metric",
    "table.reached.note": (
        "Those who were reached are not compared with the control: that effect follows from the "
        "random assignment."
    ),
    "table.spend": "Effect on spend, split without a remainder",
    "table.waves": "Primary metric by wave",
    "table.influence": "Effects without a few customers",
    "table.influence.note": "No better estimates: customers are left out by their outcome.",
    "table.belief": "What to believe after the test",
    "table.belief.note": (
        "With the plan's prior where there is one. It does not correct for looks and never "
        "replaces the test."
    ),
    "table.checks": "Checks",
    "table.digests": "Digests",
    "column.all_customers": "all customers",
    "column.analysed": "analysed",
    "column.arm": "version",
    "column.assigned": "assigned",
    "column.at_least": "at least",
    "column.at_most": "at most",
    "column.believed": "believed effect",
    "column.bound": "bound",
    "column.chance_to_win": "chance to win",
    "column.check": "check",
    "column.control_mean": "mean of control",
    "column.day": "day",
    "column.delivered": "delivered",
    "column.effect": "effect",
    "column.effect_of": "effect",
    "column.from_before": "of the stage before",
    "column.high": "at most",
    "column.id": "id",
    "column.information": "information",
    "column.left_out": "left out",
    "column.limit": "limit",
    "column.line": "in total",
    "column.look": "look",
    "column.loss_if_not": "expected loss if not sent",
    "column.loss_if_treated": "expected loss if sent",
    "column.low": "at least",
    "column.mean": "per customer",
    "column.method": "method",
    "column.metric": "metric",
    "column.n_control": "control",
    "column.n_treatment": "customers",
    "column.n_units": "customers",
    "column.over": "over",
    "column.p_adjusted": "p corrected",
    "column.p_value": "p value",
    "column.part": "part",
    "column.profit_each": "profit per customer",
    "column.profit_total": "profit",
    "column.range": "range",
    "column.range_all": "range, all together",
    "column.read_as": "read as",
    "column.reading": "of",
    "column.relative": "relative",
    "column.relative_range": "range",
    "column.remedy": "what to do",
    "column.roi": "per unit of cost",
    "column.sent": "sent",
    "column.share_of_effect": "share of the effect",
    "column.shrunken": "expected again",
    "column.stage": "stage",
    "column.test": "of",
    "column.undone_by": "enough to undo it",
    "column.units": "customers",
    "column.value": "value",
    "column.verdict": "verdict",
    "column.wave": "wave",
    "column.what": "what",
    "column.without_best": "without those that hold it up",
    "column.without_largest": "without the largest",
    "column.z": "z",
}

CHARTS = {
    "chart.effects.name": "Effects relative to the control, with intervals",
    "chart.effects.finding": "Effects relative to the control",
    "chart.effects.withheld": "Effects relative to the control: verdict withheld",
    "chart.effects.detail": "{confidence:confidence} intervals; filled marks are proven.",
    "chart.guardrails.axis": "guardrails: harm over the harm accepted; left of the line they hold",
    "chart.looks.name": "Tests along the looks, between their bounds",
    "chart.looks.finding": "Every look of the plan",
    "chart.looks.detail": "Beyond the dashed bounds an effect is proven.",
    "chart.looks.taken": "look taken",
    "chart.looks.ahead": "look to come",
    "chart.looks.axis": "information",
    "chart.looks.z": "z",
}

PAGE_TERMS = {
    "term.scale": "scale",
    "term.stop": "stop",
    "term.retest": "retest",
    "term.none": "no verdict",
    "term.ok": "ok",
    "term.warning": "warning",
    "term.failed": "failed",
    "term.withheld": "withheld",
    "term.profit": "profit",
    "term.Welch": "plain",
    "term.Lin": "adjusted",
    "term.score": "two shares",
    "term.skewness corrected": "skewness corrected",
    "term.post-stratified": "by stratum",
    "term.by cluster": "by cluster",
    "term.by cluster, adjusted": "by cluster, adjusted",
    "term.ratio, adjusted": "ratio, adjusted",
    "term.quantile": "quantile",
    "term.by customer": "by customer",
    "term.ratio": "ratio",
    "term.no unit": "no customer",
    "term.no unit in the control": "no customer in the control",
    "term.no unit in the treatment": "no customer in the version",
    "term.an arm has one unit only": "an arm has one customer only",
    "term.too few units for this estimator": "too few customers",
    "term.no unit differs from another": "no customer differs from another",
}

ENGLISH_PAGE = {**PAGE, **TABLES, **CHARTS, **PAGE_TERMS}
