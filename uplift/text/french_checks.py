"""French words of checks: the templates of `uplift.text.english_checks`, name by name."""

FRENCH_CHECKS = {
    "check.other.name": "{name:name}",
    "check.of": " ({name:of})",
    "check.other.remedy": "{remedy}",
    "check.SRM.name": "Répartition des clients",
    "check.SRM.remedy": (
        "les versions n’ont pas reçu les parts de clients prévues (valeur p {value:p_value}, "
        "alerte au-dessous de {bound:plain}). Aucun effet n’est fiable tant que la cause n’est pas "
        "trouvée : clients perdus ou écartés après le tirage, jointure qui perd des lignes, "
        "version diffusée autrement."
    ),
    "check.ADOPTED_DESPITE.name": "Attribution reprise",
    "check.ADOPTED_DESPITE.remedy": (
        "les groupes ne sont pas semblables par le tirage ({value}), et l’attribution a été "
        "reprise malgré tout. Ses chiffres ne portent jamais de verdict."
    ),
    "check.SRM_STAGE.name": "Répartition à la diffusion",
    "check.SRM_STAGE.remedy": (
        "les versions n’ont pas été envoyées ou remises dans les parts prévues (valeur p "
        "{value:p_value}). L’effet de l’attribution reste valable ; les clients atteints ne sont "
        "pas comparables d’une version à l’autre."
    ),
    "check.OUTCOME_ATTRITION.name": "Résultats manquants",
    "check.OUTCOME_ATTRITION.remedy": (
        "les versions ont perdu des parts différentes de leurs clients (valeur p {value:p_value}, "
        "alerte au-dessous de {bound:plain}) : ceux qui restent ne sont pas comparables. Cherchez "
        "pourquoi des résultats manquent."
    ),
    "check.BALANCE.name": "Groupes semblables avant l’envoi",
    "check.BALANCE.remedy": (
        "ce que l’on savait avant l’envoi diffère entre une version et le groupe témoin plus que "
        "le hasard ne l’explique (valeur p {value:p_value}, alerte au-dessous de {bound:plain}). "
        "Cherchez des clients retirés ou ajoutés après le tirage."
    ),
    "check.PRE_PERIOD_BIAS.name": "Aucun effet avant l’envoi",
    "check.PRE_PERIOD_BIAS.remedy": (
        "l’indicateur différait déjà entre les groupes avant tout envoi (valeur p {value:p_value}, "
        "alerte au-dessous de {bound:plain}). Cherchez des clients retirés ou ajoutés après le "
        "tirage, une version choisie à la main ou un test antérieur qui agit encore."
    ),
    "check.WINDOW_OPEN.name": "Période de réponse",
    "check.WINDOW_OPEN.remedy": (
        "des résultats arrivent encore ({value:plain}). Les clients sont lus une fois leur période "
        "close."
    ),
    "check.GUARDRAIL.name": "Garde-fou",
    "check.GUARDRAIL.remedy": (
        "un dommage allant jusqu’à {value:number} n’est pas exclu, pour {bound:number} admis. La "
        "version n’est pas généralisée."
    ),
    "check.CONTAMINATION.name": "Groupe témoin non contacté",
    "check.CONTAMINATION.remedy": (
        "{value:share} du groupe témoin ont tout de même été contactés. L’effet de l’attribution "
        "est conservé ; il est plus faible que sans cette fuite. Cherchez un second identifiant du "
        "même client, un autre expéditeur, une liste arrivée en retard."
    ),
    "check.INFLUENCE.name": "Pas l’histoire de quelques clients",
    "check.INFLUENCE.remedy": (
        "sans les {bound:count} plus gros clients un effet sur l’indicateur principal n’est pas "
        "prouvé. Lisez-le à côté d’un indicateur plafonné."
    ),
    "check.OUTCOME_DOMINATED.name": "Aucun client ne domine",
    "check.OUTCOME_DOMINATED.remedy": (
        "un seul client porte {value:share} de l’indicateur : sa moyenne raconte ce client. Lisez "
        "l’effet où il est ramené au client suivant."
    ),
    "check.SKEWED_INTERVAL.name": "Peu de clients, dépenses dissymétriques",
    "check.SKEWED_INTERVAL.remedy": (
        "l’intervalle usuel se tromperait d’un côté dans {value:share} des cas au lieu de "
        "{bound:share} au plus ; celui qui corrige la dissymétrie est affiché."
    ),
    "check.QUANTILE_UNDEFINED.name": "Quantile",
    "check.QUANTILE_UNDEFINED.remedy": (
        "tant de clients ont la valeur {value:plain} qu’elle n’a pas d’erreur. Lisez plutôt la "
        "part des clients au-dessus d’un montant fixé."
    ),
    "check.NO_VARIATION.name": "De quoi comparer",
    "check.NO_VARIATION.remedy": "{value} est le même pour tous les clients et ne dit donc rien.",
    "check.COVARIATE_UNUSED.name": "Ajustement prévu",
    "check.COVARIATE_UNUSED.remedy": (
        "la covariable prévue {value} n’a pas pu servir ; l’intervalle est plus large qu’il "
        "n’aurait pu l’être."
    ),
    "check.COVARIATE_MISSING.name": "Historique des clients",
    "check.COVARIATE_MISSING.remedy": (
        "{value:share} des clients n’ont pas d’historique ; ils gardent la moyenne et une marque."
    ),
    "check.SEGMENT_NOT_ESTIMABLE.name": "Segments assez grands",
    "check.SEGMENT_NOT_ESTIMABLE.remedy": (
        "{value:count} segment(s) n’ont pas de chiffre. Réunissez les petits segments avant le "
        "test."
    ),
    "check.SEGMENTS_MANY.name": "Nombre de segments",
    "check.SEGMENTS_MANY.remedy": (
        "{value:count} intervalles valables ensemble sont très larges. Ne demandez que les "
        "segments dont dépend une décision."
    ),
    "check.NEEDS_ROWS.name": "Lu dans une table par ses moments",
    "check.NEEDS_ROWS.remedy": (
        "les moments ne disent pas tout ({value}). Lisez l’expérience ligne par ligne si cela "
        "compte."
    ),
    "check.ARM_TOO_SMALL.name": "Taille des groupes",
    "check.ARM_TOO_SMALL.remedy": (
        "une version n’a que {value:count} clients : les intervalles sont grossiers."
    ),
    "check.TIME_FUTURE.name": "Dates des résultats et des contacts",
    "check.TIME_FUTURE.remedy": (
        "{value:count} résultat(s) ou contact(s) sont datés du futur et mis en attente. Réglez "
        "l’horloge du système qui les a écrits et reprenez-les."
    ),
    "check.OUTCOME_BEFORE_ASSIGNMENT.name": "Résultats après le tirage",
    "check.OUTCOME_BEFORE_ASSIGNMENT.remedy": (
        "{value:count} ligne(s) de résultats datent d’avant l’attribution des clients et ont été "
        "écartées, comme demandé. Cherchez pourquoi elles sont dans la table."
    ),
    "check.ID_DUPLICATE.name": "Une ligne par client",
    "check.ID_DUPLICATE.remedy": (
        "{value:count} client(s) ont plusieurs lignes de résultats, lues selon la règle demandée. "
        "Vérifiez qu’aucune ligne n’y figure deux fois."
    ),
    "check.ID_WHITESPACE.name": "Identifiants sans espaces",
    "check.ID_WHITESPACE.remedy": (
        "les espaces autour de {value:count} identifiant(s) ont été retirés. Corrigez-les à la "
        "source."
    ),
    "check.EXPOSED_UNASSIGNED.name": "Tous les clients ont une version",
    "check.EXPOSED_UNASSIGNED.remedy": (
        "{value:count} client(s) ont des résultats sans attribution ; ils sont écartés, jamais "
        "comptés comme témoins. Cherchez d’où ils viennent."
    ),
    "check.ID_LOOKS_PII.name": "Identifiants pseudonymes",
    "check.ID_LOOKS_PII.remedy": (
        "{value:count} identifiant(s) ressemblent à des données personnelles. Remplacez-les par un "
        "pseudonyme avant l’import."
    ),
    "check.PULL_FORWARD.name": "Achats avancés",
    "check.PULL_FORWARD.remedy": (
        "le gain des premières semaines a été suivi d’une perte : des achats ont été avancés. "
        "Décidez sur le total."
    ),
    "check.SURROGACY.name": "Long terme d’après les premiers signes",
    "check.SURROGACY.remedy": (
        "dans un test connu jusqu’au bout, les premiers signes ont manqué une part de l’effet à "
        "long terme (valeur p {value:p_value}). Attendez le long terme."
    ),
    "check.SURROGACY_UNTESTED.name": "Premiers signes éprouvés par un test achevé",
    "check.SURROGACY_UNTESTED.remedy": (
        "aucun test connu jusqu’au bout n’a montré que les campagnes n’agissent que par ces "
        "premiers signes. Donnez-en un."
    ),
    "check.SURROGATE_OVERLAP.name": "Premiers signes appris d’autres clients",
    "check.SURROGATE_OVERLAP.remedy": (
        "{value:count} client(s) du test figurent aussi dans l’historique des premiers signes. "
        "Apprenez-les d’autres clients."
    ),
    "check.INDEX_WEAK.name": "Premiers signes parlants",
    "check.INDEX_WEAK.remedy": (
        "les premiers signes n’expliquent que {value:share} du long terme. Ajoutez-en de plus "
        "parlants, ou attendez."
    ),
    "check.REREAD_UNPLANNED.name": "Relectures prévues",
    "check.REREAD_UNPLANNED.remedy": (
        "le plan ne fixe aucun jour de relecture : ceux-ci ont pu être choisis après un coup d’œil."
    ),
    "check.REREAD_CHANGED.name": "Relectures inchangées",
    "check.REREAD_CHANGED.remedy": (
        "ce qui a été enregistré pour le jour {value:plain} se lit autrement à présent. "
        "L’enregistrement demeure ; cherchez quelles réponses sont arrivées en retard ou ont été "
        "reprises."
    ),
    "check.METRIC_NOT_ADDITIVE.name": "Indicateur qui s’additionne",
    "check.METRIC_NOT_ADDITIVE.remedy": (
        "{value} est un rapport : celui de plusieurs périodes n’est pas la somme des leurs ; c’est "
        "le profit qui est lu."
    ),
    "check.CAP_NOT_APPLIED.name": "Plafond de l’indicateur",
    "check.CAP_NOT_APPLIED.remedy": (
        "le plafond de {value:number} vaut pour la période de l’indicateur ; le long terme est lu "
        "sans lui, et un seul client peut peser lourd."
    ),
    "check.REDEMPTION_UNKNOWN.name": "Tous les coûts comptés",
    "check.REDEMPTION_UNKNOWN.remedy": (
        "les bons utilisés coûtent quelque chose, mais le plan ne nomme aucun résultat qui les "
        "compte : le profit les laisse de côté et il est donc trop élevé."
    ),
}
