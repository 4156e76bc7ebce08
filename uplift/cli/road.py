"""The road: one command per step, from the demo to the report; no logic."""

from pathlib import Path
from typing import Annotated, Any

import typer

from uplift.cli.common import (
    HERE,
    Early,
    Json,
    Missing,
    Name,
    Repeats,
    Root,
    Seed,
    Table_,
    Trim,
    TwoArms,
    Who,
    app,
    campaign_of,
    show,
    verdict,
)
from uplift.cli.pages import Languages, languages_of, write_pages
from uplift.errors import DefinitionError


@app.command()
def demo(
    data: Annotated[
        str, typer.Option(help="`plasmode` (real purchases, planted effect) or `hillstrom`.")
    ] = "plasmode",
    customers: Annotated[int, typer.Option(help="How many plasmode customers.")] = 20_000,
    root: Root = HERE,
    seed: Seed = 7,
    as_json: Json = False,
) -> int:
    """Walk the whole road once, from purchases to a scored list and a report.

    Example: `uplift demo --data hillstrom`
    """
    from uplift.demo import run_demo

    result = run_demo(root, data=data, n_customers=customers, seed=seed)
    show(result, as_json=as_json)
    return 0


@app.command()
def data(
    name: Annotated[str | None, typer.Argument(help="Name of a data set.")] = None,
    as_json: Json = False,
) -> int:
    """List the data sets, or show the card of one: source, columns, key figures, traps.

    Example: `uplift data hillstrom`
    """
    from uplift.datasets.cards import CARDS, card

    if name is None:
        for one in CARDS.values():
            print(f"{one.name:<20} {one.title}")
        return 0
    show(card(name), as_json=as_json)
    return 0


@app.command()
def design(
    name: Name,
    history: Annotated[Path | None, typer.Option(help="Customers with pre-period columns.")] = None,
    n_units: Annotated[int | None, typer.Option(help="Eligible units, without history.")] = None,
    power: Annotated[
        float | None,
        typer.Option(help="Wanted chance of proving what is there; the definition's by default."),
    ] = None,
    inflow_per_day: Annotated[
        float | None, typer.Option(help="Eligible customers who enter a trigger each day.")
    ] = None,
    covariates: Annotated[
        str | None,
        typer.Option(help="Comma-separated columns of history from before the send."),
    ] = None,
    uplift_power: Annotated[
        bool, typer.Option("--uplift-power", help="Also: can targeting be proven? Simulated.")
    ] = False,
    spread: Annotated[
        float, typer.Option(help="Assumed spread of individual effects, times the average.")
    ] = 1.0,
    ranking: Annotated[
        float, typer.Option(help="Assumed correlation of the model's score with the effects.")
    ] = 0.3,
    seed: Seed = 0,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """How many customers and days a test needs, what it can answer, what its holdout costs.

    Examples: `uplift design spring_voucher --history customers.parquet`;
    `uplift design welcome --n-units 40000 --inflow-per-day 900`;
    `uplift design spring_voucher --history customers.parquet --uplift-power --spread 1.5`
    """
    from uplift.cli.planning import show_design

    campaign = campaign_of(name, root, who=who)
    result = campaign.design(
        history,
        n_units=n_units,
        power=power,
        inflow_per_day=inflow_per_day,
        covariates=None if covariates is None else [c.strip() for c in covariates.split(",")],
    )
    targeting = None
    if uplift_power:
        from uplift.sizing import targeting as questions

        targeting = questions.uplift_power(
            campaign.experiment,
            history,
            n_units=result.n_units,
            spread=spread,
            ranking=ranking,
            seed=seed,
        )
    show_design(result, targeting, as_json=as_json, wrote=campaign.path("design"))
    return 0


@app.command()
def seal(
    name: Name,
    why: Annotated[str, typer.Option(help="The reason, for the audit trail.")] = "design accepted",
    root: Root = HERE,
    who: Who = None,
) -> int:
    """Freeze the definition of an experiment, before anybody is contacted.

    Example: `uplift seal spring_voucher --who ann --why "agreed with finance"`
    """
    digest = campaign_of(name, root, who=who).seal(why)
    print(f"sealed {name}: {digest}")
    return 0


@app.command()
def assign(
    name: Name,
    customers: Annotated[
        Path | None, typer.Argument(help="A parquet or CSV file; not for a ramp-up.")
    ] = None,
    excluded: Annotated[
        str | None,
        typer.Option(help="Experiment whose control is left out, beside those it excludes itself."),
    ] = None,
    suppressed: Annotated[
        Path | None,
        typer.Option(help="Who must not be contacted: a suppression list, or any table of `unit`."),
    ] = None,
    contacts: Annotated[Path | None, typer.Option(help="Contacts so far, for the caps.")] = None,
    wave: Annotated[str | None, typer.Option(help="A later wave of the schedule.")] = None,
    exposure_share: Annotated[
        str | None, typer.Option(help="Ramp-up: take in this larger share of the customers.")
    ] = None,
    trim: Trim = None,
    as_of: Annotated[
        str | None, typer.Option(help="Of a trigger: the moment of the intake; now by default.")
    ] = None,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """Draw the arms of a sealed experiment, of a later wave, or of the units a ramp-up adds.

    A trigger is assigned every night: who became eligible since comes in.

    Example: `uplift assign spring_voucher customers.parquet --suppressed optouts.csv`
    """
    campaign = campaign_of(name, root, who=who, trim=trim)
    at = campaign.moment_of_contact(as_of)
    held_out = (
        campaign_of(excluded, root).held_out(as_of=at, customers=customers)
        if excluded is not None
        else None
    )
    lists: dict[str, Any] = {"excluded": held_out, "suppressed": suppressed, "contacts": contacts}
    if (exposure_share is None) == (customers is None) or (wave and exposure_share):
        raise DefinitionError(
            "Give the customers, or --exposure-share to take in more of those given before.",
            code="ARGUMENT_INVALID",
        )
    if exposure_share is not None:
        report = campaign.ramp(exposure_share, **lists)
    elif wave is not None:
        report = campaign.assign_wave(wave, customers, **lists)
    else:
        report = campaign.assign(customers, as_of=as_of, **lists)
    show(report, as_json=as_json, wrote=campaign.assigned.files[-1:])
    return verdict(report.checks)


@app.command()
def ingest(
    name: Name,
    outcomes: Table_,
    missing: Missing = None,
    repeats: Repeats = None,
    two_arms: TwoArms = None,
    early: Early = None,
    trim: Trim = None,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """Check and keep the outcomes of the assigned customers.

    What can be read in two ways is refused unless an option says how to read it; the later steps
    read it so too. Example: `uplift ingest spring_voucher orders.parquet --repeats sum`
    """
    campaign = campaign_of(
        name,
        root,
        who=who,
        missing=missing,
        repeats=repeats,
        two_arms=two_arms,
        early=early,
        trim=trim,
    )
    show(campaign.ingest(outcomes), as_json=as_json, wrote=(campaign.path("ingest"),))
    return 0


@app.command()
def contacts(
    name: Name,
    log: Annotated[
        Path,
        typer.Argument(
            help="A parquet or CSV file, a row per contact: `unit`, and as far as known `sent_at`, "
            "`status` (planned, sent, delivered, bounced), `channel`, `campaign`."
        ),
    ],
    trim: Trim = None,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """Check and keep what a sender says it sent and delivered; the analysis then reads by it.

    Several logs are one: a later one says what became of the contacts of an earlier one. Nobody
    who has no arm may be in it; contacts of the holdout are shown with their share.

    Examples: `uplift contacts spring_voucher sent.csv`;
    `uplift contacts spring_voucher delivered.parquet`
    """
    campaign = campaign_of(name, root, who=who, trim=trim)
    kept = campaign.keep_contacts(log)
    show(kept, as_json=as_json, wrote=tuple(campaign.contact_logs.files()[-1:]))
    return verdict(kept.checks)


@app.command()
def analyse(
    name: Name,
    as_of: Annotated[
        str | None, typer.Option(help="Read as of this day or time; now by default.")
    ] = None,
    contacts: Annotated[
        Path | None,
        typer.Option(help="A log of contacts, kept beside those of `uplift contacts`."),
    ] = None,
    among: Annotated[
        str | None,
        typer.Option(help="Only units with this column; refused when it is known after the send."),
    ] = None,
    language: Languages = None,
    missing: Missing = None,
    repeats: Repeats = None,
    two_arms: TwoArms = None,
    early: Early = None,
    trim: Trim = None,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """Read an experiment by its sealed plan: effects, guardrails, money, decision, and a page.

    Writes `analysis.json` and `analysis.html` (in French `analysis.fr.html`), which opens without
    a network: the decision first, every number with its key in the JSON.

    By logs of contacts, those given and those kept, it also reads the effect on who was reached.
    Who opened or clicked is never compared with the control: `--among` says why.

    Examples: `uplift analyse spring_voucher`;
    `uplift analyse spring_voucher --contacts delivered.parquet`;
    `uplift analyse spring_voucher --language en --language fr`;
    `uplift analyse spring_voucher --as-of 2017-07-17`
    """
    languages = languages_of(language)
    campaign = campaign_of(
        name,
        root,
        who=who,
        missing=missing,
        repeats=repeats,
        two_arms=two_arms,
        early=early,
        trim=trim,
    )
    moment = None if as_of is None else campaign.experiment.schedule.moment(as_of)
    report = campaign.analyse(as_of=moment, contacts=contacts, among=among)
    file = campaign.path("analyse")
    pages = write_pages(lambda path, lang: report.to_html(path, language=lang), file, languages)
    show(report, as_json=as_json, wrote=(file, *pages))
    return verdict(report.checks)


@app.command()
def train(
    name: Name,
    learners: Annotated[
        str, typer.Option(help="Comma-separated: s, t, x, dr, forest.")
    ] = "s,t,x,dr",
    seed: Seed = 0,
    missing: Missing = None,
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """Train uplift learners and baselines on one shared cross-fit.

    Example: `uplift train spring_voucher --learners t,dr --seed 7`
    """
    campaign = campaign_of(name, root, missing=missing)
    suite = campaign.train([part.strip() for part in learners.split(",")], seed=seed)
    show(suite, as_json=as_json, wrote=(campaign.path("train"),))
    return 0


@app.command()
def evaluate(name: Name, missing: Missing = None, root: Root = HERE, as_json: Json = False) -> int:
    """Is targeting proven against everyone, nobody, a rule and a response model?

    Example: `uplift evaluate spring_voucher`
    """
    campaign = campaign_of(name, root, missing=missing)
    show(campaign.evaluate(), as_json=as_json, wrote=(campaign.path("evaluate"),))
    return 0


@app.command()
def explain(
    name: Name,
    candidate: Annotated[
        str | None, typer.Option(help="Whose model and policy; the best candidate by default.")
    ] = None,
    depth: Annotated[int, typer.Option(help="Questions of the rule in words, 1 to 3.")] = 2,
    language: Annotated[str, typer.Option(help="Of the rule in words: `en` or `fr`.")] = "en",
    missing: Missing = None,
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """Why do effects differ, which features does the policy need, and what rule says it in words?

    Example: `uplift explain spring_voucher --candidate t --depth 3`
    """
    campaign = campaign_of(name, root, missing=missing)
    found = campaign.explain(candidate, depth=depth)
    show(found, as_json=as_json, wrote=(campaign.path("explain"),))
    if not as_json:
        print(found.tree.story(language))
    return 0


@app.command()
def roi(name: Name, missing: Missing = None, root: Root = HERE, as_json: Json = False) -> int:
    """Return on investment per customer and arm, adding up to the campaign's effect.

    Example: `uplift roi spring_voucher`
    """
    campaign = campaign_of(name, root, missing=missing)
    show(campaign.roi(), as_json=as_json, wrote=(campaign.path("roi"),))
    return 0


@app.command()
def plan(name: Name, missing: Missing = None, root: Root = HERE, as_json: Json = False) -> int:
    """Plan the next contacts within the budget and volumes of `contact_policy.yaml`.

    Example: `uplift plan spring_voucher`
    """
    campaign = campaign_of(name, root, missing=missing)
    show(campaign.plan(), as_json=as_json, wrote=(campaign.path("plan"),))
    return 0


@app.command()
def log(
    name: Name,
    missing: Missing = None,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """Log training, evaluation, returns and model to MLflow; the model becomes challenger.

    Example: `uplift log spring_voucher`
    """
    show(campaign_of(name, root, who=who, missing=missing).log(), as_json=as_json)
    return 0


@app.command()
def promote(
    name: Name,
    missing: Missing = None,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """Make the challenger champion if it passes every gate; exit 1 and the reasons if not.

    Example: `uplift promote spring_voucher --who bob`
    """
    show(campaign_of(name, root, who=who, missing=missing).promote(), as_json=as_json)
    return 0


@app.command()
def rollback(name: Name, root: Root = HERE, who: Who = None, as_json: Json = False) -> int:
    """Bring the champion before the present one back.

    Example: `uplift rollback spring_voucher`
    """
    show(campaign_of(name, root, who=who).rollback(), as_json=as_json)
    return 0


@app.command()
def score(name: Name, customers: Table_, root: Root = HERE, as_json: Json = False) -> int:
    """Score customers with the champion: recommended arm, effects, expected profit.

    Example: `uplift score spring_voucher next_month.parquet`
    """
    campaign = campaign_of(name, root)
    show(campaign.score(customers), as_json=as_json, wrote=(campaign.path("score"),))
    return 0


@app.command()
def report(
    name: Name, language: Languages = None, missing: Missing = None, root: Root = HERE
) -> int:
    """Write the page for marketers: decision, money, who, risk, what is not known.

    Writes `report.html` (in French `report.fr.html`). The page of the test alone, without models,
    is written by `uplift analyse`.

    Examples: `uplift report spring_voucher`; `uplift report spring_voucher --language fr`
    """
    from uplift.report.page import write_report
    from uplift.report.road import road_of

    languages = languages_of(language)
    campaign = campaign_of(name, root, missing=missing)
    road = road_of(campaign)
    pages = write_pages(
        lambda path, lang: write_report(path, road.told_in(lang)),
        campaign.path("report"),
        languages,
    )
    for page in pages:
        print(f"wrote {page}")
    return 0


@app.command()
def status(name: Name, root: Root = HERE, as_json: Json = False) -> int:
    """State and audit trail of an experiment.

    Example: `uplift status spring_voucher`
    """
    registry = campaign_of(name, root).registry
    registry.entry(name)  # an unknown one has no history either
    show(registry.history(name), as_json=as_json)
    return 0
