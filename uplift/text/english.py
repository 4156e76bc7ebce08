"""English words: templates by name, as `uplift.text.texts` fills them.

Verdicts are fixed by rule: better, worse, not proven. Nothing "tends" towards anything.
"""

DECISION = {
    "decision.withheld": "No verdict: {failed:checks} failed.",
    "decision.remedy": "{name:name}: {remedy}",
    "decision.window_open": "No verdict yet: the response window is open until {until:moment}.",
    "decision.provisional": "The numbers are provisional.",
    "decision.between_looks": (
        "No verdict: this is not a look of the plan; the intervals hold at any time."
    ),
    "decision.look_open": (
        "No verdict yet: nothing can be scaled at look {look:plain}, and more looks follow."
    ),
    "decision.scale": (
        "Scale {arm:name}: it earns {:part profit}; {total:money} {currency:currency} from the "
        "{n_units:count} customers who were assigned it."
    ),
    "decision.stop": "Stop: every treatment is proven to lose money.",
    "decision.retest_guardrail": "Retest: a guardrail is not proven to hold.",
    "decision.retest_unproven": "Retest: no treatment is proven to earn money.",
    "decision.earns_more": "{arm:name} is proven to earn more than {over:name}: {:part profit}.",
    "decision.not_more": "{arm:name} is not proven to earn more than {over:name}: {:part profit}.",
    "decision.cheapest": (
        "Among those the cheapest is taken: {arm:name} (cost in {currency:currency} per customer: "
        "{costs:each cost})."
    ),
    "decision.loses": "{arm:name} is proven to lose money: {:part profit}.",
    "decision.not_safe": "{arm:name} is not scaled, whatever it earns: {:part profit}.",
    "decision.unproven": "The profit of {arm:name} is not proven: {:part profit}.",
    "decision.guardrail_open": "A guardrail is not proven to hold for {arm:name}.",
    "part.profit": (
        "{effect:signed} {currency:currency} per customer ({confidence:confidence} interval "
        "{ci:interval})"
    ),
    "item.cost": "{arm:name} {cost:cents}",
}

EFFECTS = {
    "effect.difference": (
        "{title}, {treatment:name}: {verdict:term} ({estimate.effect:signed} "
        "{estimate.ci:interval} {unit:unit})."
    ),
    "effect.winsorised": (
        "{title}, {treatment:name}: {verdict:term} ({estimate.effect:signed} "
        "{estimate.ci:interval} {unit:unit}; {winsorised.effect:signed} {winsorised.ci:interval} "
        "with the largest unit cut to {cap:number})."
    ),
    "effect.guardrail": (
        "{title}, {treatment:name}: {verdict:term} ({estimate.effect:signed} "
        "{estimate.ci:interval}; harm at most {worst:signed} of {margin:number})."
    ),
    "effect.no_information": (
        "{title}, {treatment:name}: no information, every unit has the same value."
    ),
    "amendment": "Not as sealed: amendment {seq:plain} of {at:date}, {who}: {change} ({why}).",
}

TERMS = {
    "list.and": "and",
    "name.control": "control",
    "currency.EUR": "EUR",
    "unit.share": "as a share",
    "unit.share of customers": "as a share of customers",
    "unit.each": " per customer",
    "dates": "by number",
    "before a time": "",
    "first of a month": "1",
    "term.better": "better",
    "term.worse": "worse",
    "term.not proven": "not proven",
    "term.no information": "no information",
    "term.only the treated": "only the treated",
    "term.within margin": "within margin",
    "term.harm not excluded": "harm not excluded",
}

ENGLISH = {**DECISION, **EFFECTS, **TERMS}
