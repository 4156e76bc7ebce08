"""One look for every chart: colours that survive colour blindness and a black-and-white printer.

Colours of text and lines are fixed here, so that a page can replace them by its own (light, dark).
Palette: Okabe & Ito (2008), "Color Universal Design".
"""

import re
from html import escape
from typing import Any, Literal

import altair as alt
import vl_convert

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8a8f98"
INK, MUTED, GRID, PAPER = "#1b1f24", "#5b626c", "#e3e6ea", "#fffffe"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
WIDTH = 700  # px; a page column and a notebook cell both hold it
PNG_SCALE = 2
PADDING = {"left": 24, "top": 4, "right": 24, "bottom": 4}  # px; browsers' fonts may be wider

NUMBER_LOCALES: dict[str, Literal["fr-FR"]] = {
    "fr": "fr-FR"
}  # of the drawing library; English is its own

PLACE = re.compile(r"translate\((-?\d+\.\d{3,}),(-?\d+\.\d{3,})\)")  # finer than a screen shows

PAGE_COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--card)",
    BLUE: "var(--accent)",
}


def styled(chart: Any) -> Any:
    """A top-level chart in the house style; layers inside it carry data only."""
    return (
        chart.configure(font=FONT, background="transparent", padding=PADDING)
        .configure_view(strokeWidth=0)
        .configure_axis(
            labelColor=MUTED,
            titleColor=MUTED,
            gridColor=GRID,
            domainColor=GRID,
            tickColor=GRID,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=10,
            labelLimit=220,
            labelFlush=False,
        )
        .configure_header(labelColor=INK, titleColor=MUTED, labelFontSize=12)
        .configure_legend(labelColor=MUTED, titleColor=MUTED, labelFontSize=12, orient="top")
        .configure_title(
            anchor="start",
            color=INK,
            fontSize=15,
            fontWeight=600,
            subtitleColor=MUTED,
            subtitleFontSize=12,
            subtitlePadding=4,
            offset=14,
        )
    )


def title(finding: str, detail: str = "") -> alt.TitleParams:
    """The finding as the title, what is drawn below it."""
    return alt.TitleParams(finding, subtitle=[detail] if detail else [])


def svg(chart: Any, language: str = "en") -> str:
    """The chart as an SVG picture; numbers on its axes as the language writes them."""
    locale = NUMBER_LOCALES.get(language)
    drawn = str(
        vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=_vl_version(), format_locale=locale)
    )
    return PLACE.sub(lambda at: f"translate({float(at[1]):.2f},{float(at[2]):.2f})", drawn)


def png(chart: Any) -> bytes:
    """The chart as a PNG picture, on white."""
    specification = {**chart.to_dict(), "background": "white"}
    return bytes(
        vl_convert.vegalite_to_png(specification, vl_version=_vl_version(), scale=PNG_SCALE)
    )


def page_svg(chart: Any, *, name: str, key: str, language: str = "en") -> str:
    """The chart for a page: its colours are the page's, its width gives way, its name is read out.

    name  what the chart shows, for people who hear the page
    key   sets its inner names apart from those of the page's other charts
    """
    picture = re.sub(
        r' xmlns(:xlink)?="[^"]*"', "", svg(chart, language)
    )  # known to a page, and addresses
    picture = re.sub(r'(\bid="|url\(#)', rf"\g<1>{key}-", picture)
    for colour, variable in PAGE_COLOURS.items():
        picture = picture.replace(colour, variable)
    width = ""
    size = re.search(r' width="([\d.]+)" height="([\d.]+)"', picture)
    if size:
        picture = picture.replace(size[0], "", 1)
        width = f' style="max-width:{size[1]}px"'
    return picture.replace("<svg", f'<svg role="img" aria-label="{escape(name)}"{width}', 1)


def _vl_version() -> str:
    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
