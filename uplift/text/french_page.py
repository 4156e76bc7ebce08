"""French words of the page of an analysis: the templates of `uplift.text.english_page`."""

PAGE = {
    "page.eyebrow": "{experiment} · lu le {as_of:moment}",
    "page.eyebrow_now": "{experiment}",
    "page.provisional": "Provisoire : des résultats arrivent encore",
    "page.footer": "Écrit par uplift. Chaque nombre nomme sa clé dans le JSON de cette page.",
    "page.colon": " : ",
    "headline.scale": "Généraliser {arm:name} : son profit est prouvé",
    "tile.profit": "Profit incrémental, {arm:name}",
    "tile.range": (
        "entre {total_ci[0]:money} et {total_ci[1]:money}, pour les {n_units:count} clients "
        "auxquels cette version a été attribuée"
    ),
    "risk.first": "Ce qui peut mal tourner : ",
    "risk.none": "aucun contrôle ni garde-fou ne s’oppose à cette lecture.",
    "section.amendments.title": "Ce qui a changé après le scellement",
    "section.amendments.lead": "Le test n’a pas été conduit exactement comme promis.",
    "section.money.title": "Ce que cela rapporte",
    "section.money.lead": (
        "Profit par rapport au groupe témoin, pour les clients auxquels chaque version a été "
        "attribuée. Les fourchettes valent à {confidence:confidence} ; si zéro y figure, rien "
        "n’est prouvé."
    ),
    "section.money.withheld": (
        "Il n’y a pas de verdict : ces chiffres ne doivent servir à aucune décision. Ils sont "
        "montrés pour trouver la cause ou suivre le test."
    ),
    "section.who.title": "Qui réagit",
    "section.who.lead": (
        "Effets par segments nommés avant le test. Toutes les fourchettes valent ensemble : la "
        "meilleure mérite autant de confiance que les autres."
    ),
    "section.risk.title": "Ce qui peut mal tourner",
    "section.unknown.title": "Ce que nous ne savons pas",
    "section.next.title": "Que faire ensuite",
    "section.method.title": "Preuves",
    "section.method.lead": "Pour qui veut vérifier.",
    "section.effects.title": "Effets selon le plan scellé",
    "section.looks.title": "Le chemin des lectures",
    "section.looks.lead": (
        "Une lecture prouve un effet quand sa marque dépasse les bornes. Toutes les lectures "
        "ensemble se trompent aussi rarement qu’une seule."
    ),
    "section.funnel.title": "De la remise à l’achat",
    "section.delivery.title": "Qui a été atteint",
    "section.spend.title": "Plus d’acheteurs, ou des paniers plus gros",
    "section.waves.title": "Vague par vague",
    "section.influence.title": "Ce qui tient à quelques clients",
    "section.belief.title": "Ce que l’on peut croire, à côté du test",
    "section.checks.title": "Contrôles",
    "section.how.title": "Méthode",
    "section.digests.title": "D’où viennent les chiffres",
    "given_away.bounds": (
        "Parmi les remises de {arm:name}, entre {given_away.bounds[0]:cents} et "
        "{given_away.bounds[1]:cents} {currency:currency} sont allés à des clients qui auraient "
        "acheté de toute façon (avec l’incertitude de l’échantillon : de {given_away.ci[0]:cents} "
        "à {given_away.ci[1]:cents})."
    ),
    "given_away.how": (
        "Qui aurait acheté de toute façon ne se voit pas client par client : il y a donc une "
        "fourchette et pas de point. Elle vaut si un bon s’utilise lors d’un achat et une fois par "
        "client, et si la campagne ne détourne personne d’un achat."
    ),
    "given_away.no metric of buyers": (
        "On ne sait pas quelle part des remises de {arm:name} est allée à des clients qui auraient "
        "acheté de toute façon : aucun indicateur prévu ne dit qui a acheté."
    ),
    "given_away.clusters": (
        "On ne sait pas quelle part des remises de {arm:name} est allée à des clients qui auraient "
        "acheté de toute façon : ce n’est pas calculé quand des grappes ont été tirées."
    ),
    "given_away.several each": (
        "On ne sait pas quelle part des remises de {arm:name} est allée à des clients qui auraient "
        "acheté de toute façon : des clients ont utilisé plusieurs bons, ou le groupe témoin aussi."
    ),
    "holdout": (
        "Prix du savoir : avec {arm:name}, les {holdout_units:count} clients du groupe témoin "
        "auraient rapporté {holdout_profit:money} {currency:currency} (entre "
        "{holdout_ci[0]:money} et {holdout_ci[1]:money})."
    ),
    "ledger.margin": "Marge gagnée",
    "ledger.contact_cost": "Contacts",
    "ledger.redemption_cost": "Remises utilisées",
    "ledger.total": "Profit",
    "who.none": (
        "Le plan ne nommait aucun segment : ce test ne dit pas qui réagit. Des segments cherchés "
        "après coup trouveraient quelque chose par hasard."
    ),
    "who.differ": (
        "{by:name}, {what:term}, {treatment:name} : il est prouvé que les segments diffèrent "
        "(valeur p {difference.p_value:p_value})."
    ),
    "who.alike": (
        "{by:name}, {what:term}, {treatment:name} : il n’est pas prouvé que les segments "
        "diffèrent (valeur p {difference.p_value:p_value})."
    ),
    "leak": (
        "{leak.leak_share:share} du groupe témoin ont tout de même été atteints. Face à "
        "{arm:name}, l’effet mesuré est de {leak.assigned.effect:signed} ; sans cette fuite il "
        "serait de {leak.if_alike:signed} {leak.if_alike_ci:interval}, si ces clients réagissent "
        "comme les autres."
    ),
    "influence.undone": (
        "{treatment:name}, {what:term} : {influence.undone_by:count} client(s), choisis pour "
        "nuire, suffiraient pour que l’effet ne soit plus prouvé."
    ),
    "unknown.effect": (
        "{title}, {treatment:name} : {verdict:term}. Tout ce qui est dans {estimate.ci:interval} "
        "{unit:unit} est compatible avec les données."
    ),
    "unknown.withheld": "Ce que fait la campagne : il n’y a pas encore de verdict.",
    "unknown.guardrails": (
        "Aucun garde-fou n’était prévu : ce que la campagne peut abîmer n’a pas été surveillé."
    ),
    "unknown.delivery": (
        "Qui a été atteint : sans journal des contacts, l’effet est celui de l’attribution."
    ),
    "unknown.later": "Ce qui se passe après la période de réponse n’a pas été mesuré.",
    "unknown.customer": (
        "L’effet sur un seul client ne s’observe pas, seulement celui sur un groupe."
    ),
    "next.scale": (
        "Donner {arm:name} à tous sauf à un groupe témoin conservé, et relire après quelques "
        "mois : un gain peut n’être qu’un achat avancé."
    ),
    "next.stop": "Ne pas recommencer. Tester une autre offre, un autre canal ou un coût plus bas.",
    "next.retest": "Recommencer en plus grand, ou avec une offre dont l’effet serait plus fort.",
    "next.none": (
        "Lever la raison pour laquelle il n’y a pas de verdict, puis relire selon le même plan."
    ),
    "next.wait": "Continuer comme prévu : il est trop tôt, et rien n’est en défaut.",
    "next.size": "Réduire une fourchette de moitié demande quatre fois plus de clients.",
    "next.look": "La prochaine lecture du plan a lieu au jour {day:plain} après le lancement.",
    "change.scale": (
        "Ce qui changerait cette décision : un groupe témoin conservé qui rapporte autant, ou un "
        "garde-fou qui ne tient plus."
    ),
    "change.stop": (
        "Ce qui changerait cette décision : une fourchette de profit où zéro figure de nouveau."
    ),
    "change.retest": (
        "Ce qui changerait cette décision : une fourchette de profit au-dessus de zéro."
    ),
    "change.none": ("Ce qui changerait cela : des contrôles qui tiennent et des périodes closes."),
    "change.wait": "Ce qui changerait cela : la prochaine lecture du plan, ou son dernier jour.",
    "beside.unadjusted": "différence simple",
    "beside.uncapped": "sans le plafond",
    "beside.winsorised": "plus gros client ramené à {cap:number}",
    "reached.assigned": "de l’attribution",
    "reached.reached": "sur les clients atteints",
    "reached.no_leak": "sans la fuite, si tous réagissent de même",
    "reached.bounds": "sans la fuite, au moins et au plus",
    "spend.buyers": "plus d’acheteurs",
    "spend.baskets": "paniers plus gros",
    "spend.whole": "ensemble",
    "how.assigned": (
        "Les effets sont ceux de l’attribution : les clients sont comparés comme ils ont été "
        "tirés, que le contact les ait atteints ou non."
    ),
    "how.confidence": "Chaque intervalle vaut à {confidence:confidence}.",
    "how.family": (
        "Les indicateurs principal et secondaires de toutes les versions partagent un même risque "
        "d’erreur, selon la correction du plan ; les garde-fous doivent tous tenir."
    ),
    "how.Welch": "Différence simple : deux moyennes de variances inégales.",
    "how.Lin": (
        "Ajusté : ce que les clients faisaient avant explique une part de la dispersion, estimée "
        "dans chaque groupe."
    ),
    "how.score": "Deux parts : un intervalle qui vaut aussi pour peu de cas, de chaque côté.",
    "how.skewness corrected": "Dissymétrie corrigée : un intervalle juste des deux côtés.",
    "how.post-stratified": "Par strate : chaque strate pèse comme dans l’audience entière.",
    "how.by cluster": "Par grappe : l’erreur est celle des grappes qui ont été tirées.",
    "how.by cluster, adjusted": (
        "Par grappe, ajusté : ce que les grappes faisaient avant explique une part de l’écart."
    ),
    "how.ratio, adjusted": (
        "Rapport ajusté : ce que les clients faisaient avant explique une part de la dispersion "
        "des deux sommes."
    ),
    "how.quantile": "Quantile : l’intervalle est entre deux clients dans l’ordre des valeurs.",
    "how.by customer": "Par client : un client présent dans plusieurs vagues compte pour un.",
    "how.ratio": "Rapport : l’erreur des deux sommes, qui varient ensemble.",
    "how.looks": "Les lectures partagent le risque d’erreur du plan ; les intervalles en tiennent "
    "compte.",
    "how.segments": (
        "Les intervalles des segments valent ensemble, sur tous les segments et versions."
    ),
    "how.decision": (
        "La règle : pas de verdict sans groupes intacts ni périodes closes ; une version est "
        "généralisée si son profit est prouvé et si ses garde-fous tiennent ; entre versions dont "
        "la différence n’est pas prouvée, la moins chère l’emporte."
    ),
    "digest.experiment": "test",
    "digest.digest": "définition",
    "digest.data_digest": "données jointes",
}

TABLES = {
    "table.ranges": "Profit incrémental",
    "table.ranges.note": "Au moins et au plus sont les bouts de la fourchette du total.",
    "table.ledger": "Compte de résultat",
    "table.ledger.note": (
        "Au centime ; les lignes s’additionnent au profit. Les coûts sont ceux qui ont été payés."
    ),
    "table.segments": "Effets par segment",
    "table.segments.note": (
        "Attendu ensuite : sur quoi compter la prochaine fois, ramené vers la moyenne des segments."
    ),
    "table.units": "Clients par version",
    "table.effects": "Effets",
    "table.effects.note": "La valeur p est corrigée sur tous les tests de la famille.",
    "table.beside": "Les mêmes effets, lus autrement",
    "table.beside.note": "Pour comparaison ; le verdict est celui du tableau ci-dessus.",
    "table.differences": "Entre versions",
    "table.looks": "Lectures faites",
    "table.ahead": "Lectures à venir",
    "table.funnel": "Entonnoir",
    "table.funnel.note": "Par client attribué, pour comparer les étapes entre elles.",
    "table.delivery": "Attribués, envoyés, remis",
    "table.reached": "Effets sur l’indicateur principal",
    "table.reached.note": (
        "Les clients atteints ne sont pas comparés au groupe témoin : cet effet se déduit de "
        "l’attribution au hasard."
    ),
    "table.spend": "Effet sur les dépenses, partagé sans reste",
    "table.waves": "Indicateur principal par vague",
    "table.influence": "Effets sans quelques clients",
    "table.influence.note": (
        "Aucun n’est une meilleure estimation : les clients sont écartés d’après leur résultat."
    ),
    "table.belief": "Que croire après le test",
    "table.belief.note": (
        "Avec l’a priori du plan quand il y en a un. Cela ne corrige pas les lectures répétées et "
        "ne remplace jamais le test."
    ),
    "table.checks": "Contrôles",
    "table.digests": "Empreintes",
    "column.all_customers": "tous les clients",
    "column.analysed": "analysés",
    "column.arm": "version",
    "column.assigned": "attribués",
    "column.at_least": "au moins",
    "column.at_most": "au plus",
    "column.believed": "effet probable",
    "column.bound": "borne",
    "column.chance_to_win": "chance de gagner",
    "column.check": "contrôle",
    "column.control_mean": "moyenne du témoin",
    "column.day": "jour",
    "column.delivered": "remis",
    "column.effect": "effet",
    "column.effect_of": "effet",
    "column.from_before": "par rapport à l’étape précédente",
    "column.high": "au plus",
    "column.id": "id",
    "column.information": "information",
    "column.left_out": "écartés",
    "column.limit": "limite",
    "column.line": "au total",
    "column.look": "lecture",
    "column.loss_if_not": "perte attendue sans envoi",
    "column.loss_if_treated": "perte attendue avec envoi",
    "column.low": "au moins",
    "column.mean": "par client",
    "column.method": "méthode",
    "column.metric": "indicateur",
    "column.n_control": "témoin",
    "column.n_treatment": "clients",
    "column.n_units": "clients",
    "column.over": "par rapport à",
    "column.p_adjusted": "p corrigée",
    "column.p_value": "valeur p",
    "column.part": "part",
    "column.profit_each": "profit par client",
    "column.profit_total": "profit",
    "column.range": "fourchette",
    "column.range_all": "fourchette, toutes ensemble",
    "column.read_as": "lu comme",
    "column.reading": "de",
    "column.relative": "relatif",
    "column.relative_range": "fourchette",
    "column.remedy": "que faire",
    "column.roi": "par unité de coût",
    "column.sent": "envoyés",
    "column.share_of_effect": "part de l’effet",
    "column.shrunken": "attendu ensuite",
    "column.stage": "étape",
    "column.test": "de",
    "column.undone_by": "suffiraient à l’annuler",
    "column.units": "clients",
    "column.value": "valeur",
    "column.verdict": "verdict",
    "column.wave": "vague",
    "column.what": "quoi",
    "column.without_best": "sans ceux qui le portent",
    "column.without_largest": "sans les plus gros",
    "column.z": "z",
}

CHARTS = {
    "chart.effects.name": "Effets relatifs au groupe témoin, avec intervalles",
    "chart.effects.finding": "Effets relatifs au groupe témoin",
    "chart.effects.withheld": "Effets relatifs au groupe témoin : verdict suspendu",
    "chart.effects.detail": (
        "Intervalles à {confidence:confidence} ; les marques pleines sont prouvées."
    ),
    "chart.guardrails.axis": (
        "garde-fous : dommage rapporté à celui qui est admis ; à gauche de la ligne ils tiennent"
    ),
    "chart.looks.name": "Tests le long des lectures, entre leurs bornes",
    "chart.looks.finding": "Chaque lecture du plan",
    "chart.looks.detail": "Au-delà des bornes en tirets un effet est prouvé.",
    "chart.looks.taken": "lecture faite",
    "chart.looks.ahead": "lecture à venir",
    "chart.looks.axis": "information",
    "chart.looks.z": "z",
}

PAGE_TERMS = {
    "term.scale": "généraliser",
    "term.stop": "arrêter",
    "term.retest": "retester",
    "term.none": "pas de verdict",
    "term.ok": "ok",
    "term.warning": "avertissement",
    "term.failed": "échec",
    "term.withheld": "suspendu",
    "term.profit": "profit",
    "term.Welch": "simple",
    "term.Lin": "ajusté",
    "term.score": "deux parts",
    "term.skewness corrected": "dissymétrie corrigée",
    "term.post-stratified": "par strate",
    "term.by cluster": "par grappe",
    "term.by cluster, adjusted": "par grappe, ajusté",
    "term.ratio, adjusted": "rapport ajusté",
    "term.quantile": "quantile",
    "term.by customer": "par client",
    "term.ratio": "rapport",
    "term.no unit": "aucun client",
    "term.no unit in the control": "aucun client dans le groupe témoin",
    "term.no unit in the treatment": "aucun client dans la version",
    "term.an arm has one unit only": "un groupe n’a qu’un client",
    "term.too few units for this estimator": "trop peu de clients",
    "term.no unit differs from another": "aucun client ne diffère d’un autre",
}

FRENCH_PAGE = {**PAGE, **TABLES, **CHARTS, **PAGE_TERMS}
