"""English words of explanations: a policy tree as sentences."""

ENGLISH_EXPLANATION = {
    "rule.at_most": "{feature:name} at most {value}",
    "rule.above": "{feature:name} above {value}",
    "rule.between": "{feature:name} above {low} and at most {high}",
    "rule.or_unknown": "{condition}, or unknown",
    "rule.unknown": "{feature:name} unknown",
    "rule.known": "{feature:name} known",
    "rule.is": "{feature:name}: {level}",
    "rule.is_not": "{feature:name} other than {level}",
    "rule.no": "{feature:name}: no",
    "rule.yes": "{feature:name}: yes",
    "rule.contact": "Customers with {conditions} get {arm:name} ({share:share} of customers).",
    "rule.leave": "Customers with {conditions} are left alone ({share:share} of customers).",
    "rule.everyone": "Everybody gets {arm:name}.",
    "rule.nobody": "Everybody is left alone.",
    "rule.value": (
        "Such a rule brings {value:signed} {unit:unit} per customer more than contacting nobody "
        "(between {low:signed} and {high:signed}, on customers it was not made from), and "
        "{gain:signed} more than the best arm for everybody (between {gain_low:signed} and "
        "{gain_high:signed})."
    ),
}
