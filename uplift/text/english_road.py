"""English words of the page of a whole road, of its charts, and of its tables."""

ROAD = {
    "road.eyebrow": "{kind:term} · {id} · {start:long_date} to {end:long_date}",
    "road.footer": "Written by uplift. {owner} owns the experiment.",
    "road.footer_dated": "Written by uplift on {made_at:moment}. {owner} owns the experiment.",
    "road.truth": "Known truth:",
    "road.tile": "Profit: {name}",
    "road.tile.range": "between {low:money} and {high:money}, after costs of {cost:money}",
    "road.section.amendments": "What was changed after sealing",
    "road.section.money": "What it brings",
    "road.section.who": "Who should be contacted",
    "road.section.plan": "The next contacts",
    "road.section.risk": "What may go wrong",
    "road.section.unknown": "What we do not know",
    "road.section.next": "What to test next",
    "road.section.method": "Method and evidence",
    "road.section.effects": "Effects by the sealed plan",
    "road.section.design": "What the design could answer",
    "road.section.candidates": "Candidates on one shared cross-fit",
    "road.section.quality": "Rankings, policies and gates",
    "road.section.certificate": "Certificate of the plan",
    "road.section.lineage": "Audit trail and lineage",
    "road.lead.amendments": "The experiment was not run exactly as it was promised.",
    "road.lead.money": (
        "Profit over contacting nobody. A range that includes zero means: not proven."
    ),
    "road.lead.who": (
        "A policy is worth having only if it beats the simpler ones outside the noise."
    ),
    "road.lead.method": (
        "For those who want to check. Every number comes from the files listed last."
    ),
    "road.unread": "Not read yet: there is no analysis of this experiment.",
    "road.target": (
        "Target with {policy}: contact {share:share} of customers, each with the arm that pays"
    ),
    "road.blanket": "Without targeting: {words}",
    "road.targeting": "Targeting by a model is {verdict:term}. Recommended: {policy}.",
    "road.targeting_worth": (
        "Targeting by a model is {verdict:term}. Recommended: {policy}, {gain:signed} {unit} per "
        "customer more than contacting nobody."
    ),
    "road.promise": (
        "The models promise {expected:money} {currency:currency}. The experiment's own outcomes "
        "put it between {low:money} and {high:money} {currency:currency}; they also helped to "
        "choose whom to contact, which may flatter the plan a little."
    ),
    "road.bound": (
        "No plan within these limits is expected to earn more than {bound:money} "
        "{currency:currency}: proven."
    ),
    "road.left_alone": "Why customers are left alone: {reasons:each reason}.",
    "item.reason": "{reason:term} ({count:count})",
    "road.guardrail_holds": (
        "“{title}”, {treatment:name}: is proven to stay within its margin (harm of at most "
        "{worst:number} is likely, {margin:number} is accepted)."
    ),
    "road.guardrail_open": (
        "“{title}”, {treatment:name}: may be harmed too much (harm of at most {worst:number} is "
        "likely, {margin:number} is accepted)."
    ),
    "road.nothing_pays": (
        "For {share:share} of customers no contact is expected to pay; they are left alone."
    ),
    "road.check": "{name} ({verdict:term}): {remedy}",
    "road.unproven": "No effect is proven on {effects}.",
    "road.effect": "“{title}” by {treatment:name}",
    "road.no_ranking": ("For {arm:name} no ranking of customers is proven better than a lottery."),
    "road.one_customer": (
        "The effect on a single customer cannot be observed. Ranges per customer are those of the "
        "average among customers with a like prediction."
    ),
    "road.later": "Effects later than {days:plain} days after the contact were not measured.",
    "road.needed": (
        "“{title}” by {treatment:name}: an effect of {sought:number} {unit} is proven "
        "{power:share} of the time with {needed:count} customers; this test had {n_units:count}."
    ),
    "road.keep_control": (
        "Keep a control when the plan is sent: without customers who could have been contacted and "
        "were not, its profit cannot be proven."
    ),
    "road.price_up": (
        "One more unit of “{rule}” is expected to bring {worth:cents} {currency:currency} of "
        "profit. Try another limit before it is fixed for good."
    ),
    "road.price_down": (
        "One more unit of “{rule}” gives up {worth:cents} {currency:currency} of profit. Try "
        "another limit before it is fixed for good."
    ),
    "policy.nobody": "contact nobody",
    "policy.constant": "any arm to everyone",
    "policy.random": "a lottery",
    "policy.rule": "the simple rule",
    "policy.everyone": "{arm:name} to everyone",
    "policy.model": "the {model:name} model",
    "road.money.everyone": "everyone, by {arm:name}",
    "road.money.picks": "whom {policy} picks",
    "road.money.plan": "the contact plan, within its limits",
    "road.roi.title": "Incremental profit by arm ({candidate})",
    "road.roi.note": (
        "{currency:currency} over control for {n_units:count} customers; {confidence:confidence} "
        "intervals."
    ),
    "road.plan.note": (
        "{alone:count} of {n_units:count} customers are left alone. Money in {currency:currency}; "
        "no plan earns more than {bound:cents}."
    ),
    "road.money.title": "Incremental profit",
    "road.money.note": (
        "{currency:currency} over contacting nobody, for {n_units:count} customers; "
        "{confidence:confidence} intervals from the experiment's own outcomes."
    ),
}

ROAD_CHARTS = {
    "chart.policies.name": "Value of every policy with its interval",
    "chart.policies.finding": "Recommended: {policy}",
    "chart.policies.detail": (
        "Targeting by a model is {verdict:term}. Filled is the recommended policy."
    ),
    "chart.policies.axis": "{unit} per customer, over contacting nobody",
    "chart.curves.name": "Gain of the ranking by share contacted",
    "chart.curves.proven": "Ranking by {model} finds who responds to {arms:names}",
    "chart.curves.unproven": "Ranking by {model} is not proven better than a lottery",
    "chart.curves.detail": (
        "Solid: best customers first, with its band. Dashed: the same share drawn by lot."
    ),
    "chart.curves.gain": "gain, {outcome} per customer",
    "chart.curves.share": "share contacted",
    "chart.curves.panel": "{arm:name}: {verdict:term}",
    "chart.spread.name": "Expected profit per customer by arm",
    "chart.spread.axis": "expected profit per customer, {currency:currency}",
    "chart.spread.some": "For {share:share} of customers no contact pays",
    "chart.spread.all": "For every customer some contact is expected to pay",
    "chart.spread.detail": (
        "Share of customers by expected profit; right of the line the contact pays."
    ),
    "chart.depth.name": "Expected profit by share contacted",
    "chart.depth.finding": "A contact pays, in expectation, for {share:share} of customers",
    "chart.depth.detail": (
        "Customers with the highest expected profit first, each with the best arm."
    ),
    "chart.depth.share": "share of customers contacted",
    "chart.depth.profit": "expected profit, {currency:currency}",
    "chart.channels.name": "Contacts per channel with limits",
    "chart.channels.axis": "contacts planned",
    "chart.channels.limits": "Orange marks are limits of the policy.",
    "chart.channels.no_limits": "No channel has a limit.",
    "chart.channels.some": "{contacts:count} contacts; {alone:count} customers are left alone",
    "chart.channels.all": "{contacts:count} contacts; no customers are left alone",
    "chart.rules.name": "The plan beside simple rules",
    "chart.rules.plan": "this plan",
    "chart.rules.more": "{more:money} {currency:currency} more than the best simple rule",
    "chart.rules.same": "A simple rule does as well",
    "chart.rules.axis": "expected profit, {currency:currency}",
    "chart.rules.detail": "Expected profit under the same limits.",
    "chart.absolute.name": "Effects with intervals",
    "chart.absolute.proven": "{proven:count} of {all:count} effects are proven",
    "chart.absolute.withheld": "Verdict withheld",
    "chart.absolute.detail": (
        "Difference to the control with its interval; filled marks are proven."
    ),
    "chart.losses.name": "Loss of every candidate",
    "chart.losses.none": "No candidate is proven to predict better than one effect for everyone",
    "chart.losses.best": "{candidate} is chosen, about as good as the best",
    "chart.losses.detail": (
        "Left of the line is better than one effect for everyone; filled is the one chosen."
    ),
    "chart.losses.axis": "squared error less that of a constant effect, out of fold",
}

ROAD_TERMS = {
    "months": (
        "January February March April May June July August September October November December"
    ),
    "term.proven": "proven",
    "term.target": "target",
    "term.ab_test": "A/B test",
    "term.campaign_holdout": "Campaign with a holdout",
    "term.factorial": "Factorial test",
    "term.universal_control": "Universal control group",
    "term.trigger": "Always-on trigger",
    "term.no action pays": "no action pays",
    "term.no action is open": "no action is open",
    "term.budget is empty": "budget is empty",
    "term.suppressed": "suppressed",
    "term.no limit": "no limit",
    "term.the budget earns more elsewhere": "the budget earns more elsewhere",
}

TABLE_WORDS = (
    *("who is contacted", "contacts", "cost", "profit", "at least", "at most", "known truth"),
    *("send to everyone", "margin", "redemptions", "profit ci", "return on cost", "channel"),
    *("expected profit", "rule", "used", "limit", "price of one more", "all", "number", "date"),
    *("who", "change", "why", "metric", "treatment", "control mean", "effect", "p adjusted"),
    *("relative", "method", "verdict", "units", "profit per unit", "ci", "contact cost"),
    *("redemption cost", "total profit", "total ci", "check", "value", "bound", "remedy"),
    *("Prices of the rules", "Checks", "Incremental profit"),
    *("Changed after the definition was sealed", "Numbers are those of the audit trail."),
    "Prices are local: they hold for small changes of a limit.",
)

ENGLISH_ROAD = {
    **ROAD,
    **ROAD_CHARTS,
    **ROAD_TERMS,
    **{f"word.{word}": word for word in TABLE_WORDS},
}
