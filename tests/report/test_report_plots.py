from dataclasses import replace
from xml.etree import ElementTree

import pytest

from uplift.checks import Check
from uplift.errors import DataError, DefinitionError
from uplift.report.curve_charts import curves
from uplift.report.plots import draw
from uplift.report.style import page_svg, styled
from uplift.report.words import policy_words
from uplift.text.texts import text_of

RESULTS = ("report", "suite", "quality", "roi", "plan")


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_of_the_road_draws_itself_with_a_finding_and_axis_titles(road, name):
    picture = getattr(road, name).plot()
    text = picture._repr_svg_()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    drawn = str(picture.chart.to_dict())
    assert "'title'" in drawn
    assert "nan" not in text.lower().replace("finance", "")


def test_a_chart_becomes_a_png_on_white(road):
    assert road.plan.plot().png()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_picture_is_saved_whole_as_svg_or_png_and_as_nothing_else(road, tmp_path):
    picture = road.plan.plot()
    picture.save(tmp_path / "plan.svg")
    assert (tmp_path / "plan.svg").read_text(encoding="utf-8") == picture.svg()
    with pytest.raises(DefinitionError) as caught:
        picture.save(tmp_path / "plan.gif")
    assert caught.value.code == "FIGURE_NAME"


def test_a_result_without_a_chart_is_refused_by_name():
    with pytest.raises(DataError, match="Check has no chart") as caught:
        draw(Check("x", True))
    assert caught.value.code == "NOT_DRAWABLE"


def test_a_candidate_that_was_not_ranked_has_no_curve(road):
    with pytest.raises(DataError, match="nobody_knows_it"):
        curves(road.quality, "nobody_knows_it")


def test_plan_chart_says_how_many_are_contacted_and_marks_limits(road):
    picture = road.plan.plot().svg()
    assert f"{road.plan.n_contacts:,} contacts" in picture
    unlimited = replace(
        road.plan,
        channels=tuple(replace(use, minimum=None, maximum=None) for use in road.plan.channels),
    )
    assert "No channel has a limit." in unlimited.plot().svg()


def test_the_title_says_not_proven_when_no_ranking_is(road):
    rankings = tuple(replace(row, verdict="not proven") for row in road.quality.rankings)
    unproven = replace(road.quality, rankings=rankings)
    assert "is not proven better than a lottery" in unproven.plot().svg()


def test_pictures_of_a_page_have_no_address_and_share_no_inner_name(road):
    first, second = (
        page_svg(styled(curves(road.quality)), name='a "name"', key=key) for key in ("one", "two")
    )
    for picture in (first, second):
        assert "http" not in picture
        assert 'aria-label="a &quot;name&quot;"' in picture
        assert "var(--ink)" in picture

    def ids(picture):
        return {part.split('"')[0] for part in picture.split(' id="')[1:]}

    assert not ids(first) & ids(second)


def test_policies_and_lists_read_as_people_say_them():
    assert policy_words("everyone:mens_email") == "mens email to everyone"
    assert policy_words("nobody") == "contact nobody"
    assert policy_words("dr") == "the dr model"
    assert policy_words("everyone:mens_email", text_of("fr")) == "mens email pour tous"
    assert text_of("en").listed(["a"]) == "a"
    assert text_of("en").listed(["a", "b", "c"]) == "a, b and c"
    assert text_of("fr").listed(["a", "b"]) == "a et b"
