"""The page people look at: one self-contained HTML file, without any request to outside.

`view` (greyzone.report.view) turns the tables of a case into what the page shows; the templates lay it out, ``report.js`` draws and
filters it in the reader's browser, ``apart.js`` takes scores apart and puts them together again. Account names are shown as
pseudonyms; everything from documents is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import pyarrow as pa

from greyzone.doctrine import Doctrine
from greyzone.report.view import build_view


def render(tables: Mapping[str, pa.Table], manifest: Mapping[str, Any], *, doctrine: Doctrine) -> str:
    """Render the report of a case.

    Parameters
    ----------
    tables
        The tables of the case by name; those of a stage that has not run are absent and their section says so.
    manifest
        The manifest of the case: inputs, settings, counts.
    doctrine
        The doctrine that the scores were made with.

    Returns
    -------
    str
        HTML of about 5 MB, most of it the plotting library. The same case gives the same bytes.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("greyzone", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    view = build_view(tables, manifest, doctrine=doctrine)
    folder = resources.files("greyzone.report")
    return environment.get_template("report.html.j2").render(
        view=view,
        # The ones below are our own text or JSON whose "<" is escaped, never markup from a document.
        style=Markup(folder.joinpath("report.css").read_text("utf-8")),  # noqa: S704
        taking_apart=Markup(folder.joinpath("apart.js").read_text("utf-8")),  # noqa: S704
        script=Markup(folder.joinpath("report.js").read_text("utf-8")),  # noqa: S704
        plotly=Markup(get_plotlyjs()),  # noqa: S704
        data=Markup(script_json(view["data"])),  # noqa: S704
    )


def script_json(content: object) -> str:
    """Return JSON that is safe inside a script element, whatever text it holds."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str, allow_nan=False)
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        text = text.replace(character, escape)
    return text
