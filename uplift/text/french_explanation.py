"""French words of explanations: the templates of `uplift.text.english_explanation`."""

FRENCH_EXPLANATION = {
    "rule.at_most": "{feature:name} d’au plus {value}",
    "rule.above": "{feature:name} de plus de {value}",
    "rule.between": "{feature:name} de plus de {low} et d’au plus {high}",
    "rule.or_unknown": "{condition}, ou inconnu",
    "rule.unknown": "{feature:name} inconnu",
    "rule.known": "{feature:name} connu",
    "rule.is": "{feature:name} : {level}",
    "rule.is_not": "{feature:name} autre que {level}",
    "rule.no": "{feature:name} : non",
    "rule.yes": "{feature:name} : oui",
    "rule.contact": (
        "Les clients avec {conditions} reçoivent {arm:name} ({share:share} des clients)."
    ),
    "rule.leave": (
        "Les clients avec {conditions} sont laissés tranquilles ({share:share} des clients)."
    ),
    "rule.everyone": "Tout le monde reçoit {arm:name}.",
    "rule.nobody": "Tout le monde est laissé tranquille.",
    "rule.value": (
        "Une telle règle rapporte {value:signed} {unit:unit} par client de plus que ne contacter "
        "personne (entre {low:signed} et {high:signed}, sur des clients dont elle n’a rien appris),"
        " et {gain:signed} de plus que la meilleure version pour tous (entre {gain_low:signed} et "
        "{gain_high:signed})."
    ),
}
