"""French words: the templates of `uplift.text.english`, name by name.

Les verdicts sont fixés par la règle : meilleur, moins bon, non prouvé.
"""

from collections.abc import Mapping

DECISION = {
    "decision.withheld": "Pas de verdict, contrôle en échec : {failed:checks}.",
    "decision.remedy": "{name:name} : {remedy}",
    "decision.window_open": (
        "Pas encore de verdict : la période de réponse est ouverte jusqu’au {until:moment}."
    ),
    "decision.provisional": "Les chiffres sont provisoires.",
    "decision.between_looks": (
        "Pas de verdict : cette lecture n’est pas prévue au plan ; les intervalles sont valables à "
        "tout moment."
    ),
    "decision.look_open": (
        "Pas encore de verdict : rien ne peut être généralisé à la lecture {look:plain}, et "
        "d’autres suivent."
    ),
    "decision.scale": (
        "Généraliser {arm:name} : {:part profit} ; {total:money} {currency:currency} pour les "
        "{n_units:count} clients auxquels cette version a été attribuée."
    ),
    "decision.stop": "Arrêter : il est prouvé que chaque version perd de l’argent.",
    "decision.retest_guardrail": "Retester : il n’est pas prouvé qu’un garde-fou tient.",
    "decision.retest_unproven": "Retester : aucune version n’a un profit prouvé.",
    "decision.earns_more": (
        "Il est prouvé que {arm:name} rapporte plus que {over:name} : {:part profit}."
    ),
    "decision.not_more": (
        "Il n’est pas prouvé que {arm:name} rapporte plus que {over:name} : {:part profit}."
    ),
    "decision.cheapest": (
        "Parmi ces versions, la moins chère est retenue : {arm:name} (coût en {currency:currency} "
        "par client : {costs:each cost})."
    ),
    "decision.loses": "Il est prouvé que {arm:name} perd de l’argent : {:part profit}.",
    "decision.not_safe": "{arm:name} n’est pas généralisé, quoi qu’il rapporte : {:part profit}.",
    "decision.unproven": "Le profit de {arm:name} n’est pas prouvé : {:part profit}.",
    "decision.guardrail_open": "Il n’est pas prouvé qu’un garde-fou tient pour {arm:name}.",
    "part.profit": (
        "{effect:signed} {currency:currency} par client (intervalle à {confidence:confidence} "
        "{ci:interval})"
    ),
    "item.cost": "{arm:name} {cost:cents}",
}

EFFECTS = {
    "effect.difference": (
        "{title}, {treatment:name} : {verdict:term} ({estimate.effect:signed} "
        "{estimate.ci:interval} {unit:unit})."
    ),
    "effect.winsorised": (
        "{title}, {treatment:name} : {verdict:term} ({estimate.effect:signed} "
        "{estimate.ci:interval} {unit:unit} ; {winsorised.effect:signed} {winsorised.ci:interval} "
        "quand le plus gros client est ramené à {cap:number})."
    ),
    "effect.guardrail": (
        "{title}, {treatment:name} : {verdict:term} ({estimate.effect:signed} "
        "{estimate.ci:interval} ; dommage d’au plus {worst:signed} pour {margin:number} admis)."
    ),
    "effect.no_information": (
        "{title}, {treatment:name} : aucune information, tous les clients ont la même valeur."
    ),
    "amendment": (
        "Écart au plan scellé : amendement {seq:plain} du {at:date}, {who} : {change} ({why})."
    ),
}

TERMS = {
    "list.and": "et",
    "name.control": "témoin",
    "currency.EUR": "€",
    "unit.share": "en part",
    "unit.share of customers": "en part des clients",
    "unit.each": " par client",
    "dates": "written out",
    "before a time": "à ",
    "first of a month": "1er",
    "term.better": "meilleur",
    "term.worse": "moins bon",
    "term.not proven": "non prouvé",
    "term.no information": "aucune information",
    "term.only the treated": "seulement les clients ciblés",
    "term.within margin": "dans la marge",
    "term.harm not excluded": "dommage non exclu",
}


FRENCH = {**DECISION, **EFFECTS, **TERMS}


def spaced(table: Mapping[str, str]) -> dict[str, str]:
    """The table with spaces that do not break in front of French double marks."""
    return {name: _spaced(words) for name, words in table.items()}


def _spaced(words: str) -> str:
    for mark in (*":;?!%»€", "{currency:currency}"):
        words = words.replace(f" {mark}", f"\u00a0{mark}")
    return words.replace("« ", "«\u00a0")
