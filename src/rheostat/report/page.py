"""The page of a report. Whatever text is in the report, the page shows it and runs none of it.

Three walls: Jinja escapes all that it writes; control characters become visible codes; and the page's own policy lets
no script run but one, which it knows by its hash.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from rheostat.errors import MissingExtra
from rheostat.report import texts
from rheostat.report.data import Report
from rheostat.visible import visible

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["frame_of", "page_of"]

_FRAME_PIXELS = 720


def page_of(report: Report) -> str:
    """The page, which can be written as UTF-8.

    Raises:
        MissingExtra: jinja2 or matplotlib isn't installed.
    """
    environment = _environment()
    from rheostat.report.plots import plots_of

    plots = plots_of(report)
    script = _file("script.js")
    sections = {
        "summary": "Summary", "spend": plots and "Spend", "worth": report.beside and "Right answers",
        "runs": report.runs and "Candidates", "timeline": "Timeline", "tables": "Tables",
    }  # fmt: skip
    return environment.get_template("report.html.j2").render(
        report=report,
        title=texts.title_of(report),
        period=texts.period_of(report),
        status=texts.status_of(report),
        models=texts.models_of(report),
        thinking_share=texts.thinking_share_of(report),
        plots=plots,
        several=len({step.account for step in report.steps}) > 1,
        sections=[(name, title) for name, title in sections.items() if title],
        style=_markup(_file("style.css")),
        script=_markup(script),
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    )


def frame_of(report: Report) -> str:
    """The page in a frame of its own origin, for notebooks."""
    from markupsafe import Markup

    frame = Markup(
        '<iframe sandbox="allow-scripts" title="Rheostat report" srcdoc="{}" loading="lazy" '
        'style="width:100%;height:{}px;border:0"></iframe>'
    )
    return str(frame.format(page_of(report), _FRAME_PIXELS))


@functools.cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtra("a report", "report") from error
    environment = Environment(
        loader=PackageLoader("rheostat.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(texts.FILTERS)
    return environment


def _shown(value: Any) -> Any:
    """Text that isn't markup of our own, without characters that hide or turn other text."""
    return visible(value) if type(value) is str else value


@functools.cache
def _file(name: str) -> str:
    return (files("rheostat.report") / "templates" / name).read_text("utf-8")


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - a file of this package
