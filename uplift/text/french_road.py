"""French words of the page of a whole road: the templates of `uplift.text.english_road`."""

ROAD = {
    "road.eyebrow": "{kind:term} · {id} · du {start:long_date} au {end:long_date}",
    "road.footer": "Écrit par uplift. {owner} est responsable du test.",
    "road.footer_dated": "Écrit par uplift le {made_at:moment}. {owner} est responsable du test.",
    "road.truth": "Vérité connue :",
    "road.tile": "Profit : {name}",
    "road.tile.range": "entre {low:money} et {high:money}, après des coûts de {cost:money}",
    "road.section.amendments": "Ce qui a changé après le scellement",
    "road.section.money": "Ce que cela rapporte",
    "road.section.who": "Qui contacter",
    "road.section.plan": "Les prochains contacts",
    "road.section.risk": "Ce qui peut mal tourner",
    "road.section.unknown": "Ce que nous ne savons pas",
    "road.section.next": "Que tester ensuite",
    "road.section.method": "Méthode et preuves",
    "road.section.effects": "Effets selon le plan scellé",
    "road.section.design": "Ce que le plan pouvait répondre",
    "road.section.candidates": "Candidats sur une même validation croisée",
    "road.section.quality": "Classements, règles et seuils",
    "road.section.certificate": "Certificat du plan",
    "road.section.lineage": "Journal et provenance",
    "road.lead.amendments": "Le test n’a pas été conduit exactement comme promis.",
    "road.lead.money": (
        "Profit par rapport à ne contacter personne. Si zéro figure dans la fourchette, rien n’est "
        "prouvé."
    ),
    "road.lead.who": "Une règle ne vaut que si elle bat les plus simples au-delà du hasard.",
    "road.lead.method": (
        "Pour qui veut vérifier. Chaque nombre vient des fichiers cités à la fin. Les tableaux des "
        "modèles sont en anglais."
    ),
    "road.unread": "Pas encore lu : il n’y a pas d’analyse de ce test.",
    "road.target": (
        "Cibler avec {policy} : contacter {share:share} des clients, chacun avec la version qui "
        "rapporte"
    ),
    "road.blanket": "Sans ciblage : {words}",
    "road.targeting": "Ciblage par un modèle : {verdict:term}. Conseil : {policy}.",
    "road.targeting_worth": (
        "Ciblage par un modèle : {verdict:term}. Conseil : {policy}, {gain:signed} {unit} par "
        "client de plus que ne contacter personne."
    ),
    "road.promise": (
        "Les modèles promettent {expected:money} {currency:currency}. Les résultats mêmes du test "
        "le situent entre {low:money} et {high:money} {currency:currency} ; ils ont aussi servi à "
        "choisir qui contacter, ce qui peut flatter un peu le plan."
    ),
    "road.bound": (
        "Il est prouvé qu’aucun plan dans ces limites ne peut espérer plus de {bound:money} "
        "{currency:currency}."
    ),
    "road.left_alone": "Pourquoi des clients sont laissés tranquilles : {reasons:each reason}.",
    "item.reason": "{reason:term} ({count:count})",
    "road.guardrail_holds": (
        "« {title} », {treatment:name} : il est prouvé qu’il reste dans sa marge (dommage probable "
        "d’au plus {worst:number}, {margin:number} admis)."
    ),
    "road.guardrail_open": (
        "« {title} », {treatment:name} : le dommage peut être trop grand (dommage probable d’au "
        "plus {worst:number}, {margin:number} admis)."
    ),
    "road.nothing_pays": (
        "Pour {share:share} des clients aucun contact ne devrait rapporter ; ils sont laissés "
        "tranquilles."
    ),
    "road.check": "{name} ({verdict:term}) : {remedy}",
    "road.unproven": "Aucun effet n’est prouvé sur {effects}.",
    "road.effect": "« {title} » par {treatment:name}",
    "road.no_ranking": (
        "Pour {arm:name} il n’est prouvé pour aucun classement des clients qu’il bat le tirage au "
        "sort."
    ),
    "road.one_customer": (
        "L’effet sur un seul client ne s’observe pas. Les fourchettes par client sont celles de la "
        "moyenne des clients de prédiction semblable."
    ),
    "road.later": "Les effets au-delà de {days:plain} jours après l’envoi n’ont pas été mesurés.",
    "road.needed": (
        "« {title} » par {treatment:name} : un effet de {sought:number} {unit} est prouvé dans "
        "{power:share} des cas avec {needed:count} clients ; ce test en avait {n_units:count}."
    ),
    "road.keep_control": (
        "Gardez un groupe témoin à l’envoi du plan : sans clients que l’on aurait pu contacter et "
        "que l’on n’a pas contactés, son profit ne peut pas être prouvé."
    ),
    "road.price_up": (
        "Une unité de plus de « {rule} » devrait rapporter {worth:cents} {currency:currency} de "
        "profit. Essayez une autre limite avant de la fixer pour de bon."
    ),
    "road.price_down": (
        "Une unité de plus de « {rule} » coûte {worth:cents} {currency:currency} de profit. "
        "Essayez une autre limite avant de la fixer pour de bon."
    ),
    "policy.nobody": "ne contacter personne",
    "policy.constant": "une même version pour tous",
    "policy.random": "un tirage au sort",
    "policy.rule": "la règle simple",
    "policy.everyone": "{arm:name} pour tous",
    "policy.model": "le modèle {model:name}",
    "road.money.everyone": "tous, par {arm:name}",
    "road.money.picks": "ceux que choisit {policy}",
    "road.money.plan": "le plan de contacts, dans ses limites",
    "road.roi.title": "Profit incrémental par version ({candidate})",
    "road.roi.note": (
        "{currency:currency} par rapport au groupe témoin pour {n_units:count} clients ; "
        "intervalles à {confidence:confidence}."
    ),
    "road.plan.note": (
        "{alone:count} clients sur {n_units:count} sont laissés tranquilles. Montants en "
        "{currency:currency} ; aucun plan ne rapporte plus de {bound:cents}."
    ),
    "road.money.title": "Profit incrémental",
    "road.money.note": (
        "{currency:currency} par rapport à ne contacter personne, pour {n_units:count} clients ; "
        "intervalles à {confidence:confidence} tirés des résultats mêmes du test."
    ),
}

ROAD_CHARTS = {
    "chart.policies.name": "Valeur de chaque règle avec son intervalle",
    "chart.policies.finding": "Conseil : {policy}",
    "chart.policies.detail": "Ciblage par un modèle : {verdict:term}. Marque pleine : le conseil.",
    "chart.policies.axis": "{unit} par client, par rapport à ne contacter personne",
    "chart.curves.name": "Gain du classement selon la part contactée",
    "chart.curves.proven": "Le classement par {model} trouve qui réagit à {arms:names}",
    "chart.curves.unproven": "Il n’est pas prouvé que {model} classe mieux que le tirage au sort",
    "chart.curves.detail": (
        "Trait plein : les meilleurs clients d’abord, avec sa bande. Tirets : la même part au sort."
    ),
    "chart.curves.gain": "gain, {outcome} par client",
    "chart.curves.share": "part contactée",
    "chart.curves.panel": "{arm:name} : {verdict:term}",
    "chart.spread.name": "Profit attendu par client et par version",
    "chart.spread.axis": "profit attendu par client, {currency:currency}",
    "chart.spread.some": "Pour {share:share} des clients aucun contact ne rapporte",
    "chart.spread.all": "Pour chaque client un contact devrait rapporter",
    "chart.spread.detail": (
        "Part des clients par profit attendu ; à droite de la ligne le contact rapporte."
    ),
    "chart.depth.name": "Profit attendu selon la part contactée",
    "chart.depth.finding": "Un contact devrait rapporter pour {share:share} des clients",
    "chart.depth.detail": (
        "Les clients au plus fort profit attendu d’abord, chacun avec la meilleure version."
    ),
    "chart.depth.share": "part des clients contactés",
    "chart.depth.profit": "profit attendu, {currency:currency}",
    "chart.channels.name": "Contacts par canal avec leurs limites",
    "chart.channels.axis": "contacts prévus",
    "chart.channels.limits": "Les marques orange sont des limites.",
    "chart.channels.no_limits": "Aucun canal n’a de limite.",
    "chart.channels.some": "{contacts:count} contacts ; {alone:count} clients laissés tranquilles",
    "chart.channels.all": "{contacts:count} contacts ; aucun client laissé tranquille",
    "chart.rules.name": "Le plan à côté de règles simples",
    "chart.rules.plan": "ce plan",
    "chart.rules.more": "{more:money} {currency:currency} de plus que la meilleure règle simple",
    "chart.rules.same": "Une règle simple fait aussi bien",
    "chart.rules.axis": "profit attendu, {currency:currency}",
    "chart.rules.detail": "Profit attendu sous les mêmes limites.",
    "chart.absolute.name": "Effets avec intervalles",
    "chart.absolute.proven": "{proven:count} effets prouvés sur {all:count}",
    "chart.absolute.withheld": "Verdict suspendu",
    "chart.absolute.detail": (
        "Écart au groupe témoin avec son intervalle ; les marques pleines sont prouvées."
    ),
    "chart.losses.name": "Perte de chaque candidat",
    "chart.losses.none": "Aucun candidat n’est prouvé meilleur qu’un même effet pour tous",
    "chart.losses.best": "{candidate} est choisi, à peu près aussi bon que le meilleur",
    "chart.losses.detail": (
        "À gauche de la ligne, mieux qu’un même effet pour tous ; le candidat choisi est plein."
    ),
    "chart.losses.axis": "erreur quadratique moins celle d’un effet constant, hors échantillon",
}

ROAD_TERMS = {
    "months": (
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"
    ),
    "term.proven": "prouvé",
    "term.target": "cibler",
    "term.ab_test": "Test A/B",
    "term.campaign_holdout": "Campagne avec groupe témoin",
    "term.factorial": "Test factoriel",
    "term.universal_control": "Groupe témoin universel",
    "term.trigger": "Déclencheur permanent",
    "term.no action pays": "aucune action ne rapporte",
    "term.no action is open": "aucune action n’est possible",
    "term.budget is empty": "le budget est épuisé",
    "term.suppressed": "opposition",
    "term.no limit": "aucune limite",
    "term.the budget earns more elsewhere": "le budget rapporte plus ailleurs",
}

TABLE_WORDS = {
    "who is contacted": "qui est contacté",
    "contacts": "contacts",
    "cost": "coût",
    "profit": "profit",
    "at least": "au moins",
    "at most": "au plus",
    "known truth": "vérité connue",
    "send to everyone": "envoyer à tous",
    "margin": "marge",
    "redemptions": "remises",
    "profit ci": "intervalle du profit",
    "return on cost": "profit par coût",
    "channel": "canal",
    "expected profit": "profit attendu",
    "rule": "règle",
    "used": "utilisé",
    "limit": "limite",
    "price of one more": "prix d’une unité de plus",
    "all": "tous",
    "number": "numéro",
    "date": "date",
    "who": "qui",
    "change": "changement",
    "why": "pourquoi",
    "metric": "indicateur",
    "treatment": "version",
    "control mean": "moyenne du témoin",
    "effect": "effet",
    "p adjusted": "p corrigée",
    "relative": "relatif",
    "method": "méthode",
    "verdict": "verdict",
    "units": "clients",
    "profit per unit": "profit par client",
    "ci": "intervalle",
    "contact cost": "contacts",
    "redemption cost": "remises",
    "total profit": "profit total",
    "total ci": "intervalle du total",
    "check": "contrôle",
    "value": "valeur",
    "bound": "limite",
    "remedy": "que faire",
    "Prices of the rules": "Prix des règles",
    "Checks": "Contrôles",
    "Incremental profit": "Profit incrémental",
    "Changed after the definition was sealed": "Changé après le scellement de la définition",
    "Numbers are those of the audit trail.": "Les numéros sont ceux du journal.",
    "Prices are local: they hold for small changes of a limit.": (
        "Les prix sont locaux : ils valent pour de petits changements d’une limite."
    ),
}

FRENCH_ROAD = {
    **ROAD,
    **ROAD_CHARTS,
    **ROAD_TERMS,
    **{f"word.{word}": words for word, words in TABLE_WORDS.items()},
}
