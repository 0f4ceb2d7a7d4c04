"""One self-contained HTML file from a template and charts: nothing is fetched, ever.

The page's policy allows its own style and its own scripts, by hash, and pictures inside it. Vega
would compile its expressions with ``eval``, which such a policy forbids; vega-embed's interpreter
walks their syntax trees instead (``ast: true`` in script.js).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

from cxr_edge.bundle.manifest import NOTICE
from cxr_edge.extras import require
from cxr_edge.report import theme
from cxr_edge.report.charts import EXTRA, Figure, require_report, specification, vega_lite_version

if TYPE_CHECKING:
    import jinja2

TEMPLATES = "templates"


def render_page(
    template: str, *, title: str, figures: Sequence[Figure] = (), **values: object
) -> bytes:
    """Fill a template.

    Args:
        template: a file of ``templates/`` that extends ``base.html.j2``.
        title: text of the first heading and of the window.
        figures: every figure that the template shows with ``parts.figure``.
        values: what else the template uses; text is escaped there.

    Returns:
        A UTF-8 HTML document.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    require_report()
    style = theme.css() + _template_file("style.css")
    scripts = [_template_file("script.js")]
    if figures:
        scripts.insert(0, javascript_bundle())
    html = (
        _environment()
        .get_template(template)
        .render(
            **values,
            title=title,
            notice=NOTICE,
            policy=_policy(style, scripts),
            style=style,
            scripts=scripts,
            charts={figure.name: specification(figure.chart) for figure in figures},
            chart_config=theme.chart_config(),
        )
    )
    # A file name may hold half of a surrogate pair.
    return html.encode(errors="replace")


@functools.cache
def javascript_bundle() -> str:
    """Vega, Vega-Lite and vega-embed in one script, about 0.9 MB."""
    bundle: str = require("vl_convert", EXTRA).javascript_bundle(vl_version=vega_lite_version())
    # Inside a script element the first ends it, and the second becomes a plain line feed.
    return re.sub("</(?=script)", r"<\\/", bundle, flags=re.IGNORECASE).replace("\r\n", "\n")


def _policy(style: str, scripts: Sequence[str]) -> str:
    """The Content-Security-Policy: what is not listed here is refused."""
    hashes = " ".join(map(_source_hash, scripts))
    return (
        f"default-src 'none'; img-src data:; style-src {_source_hash(style)}; "
        f"script-src {hashes}; base-uri 'none'; form-action 'none'"
    )


def _source_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _template_file(name: str) -> str:
    return resources.files(__package__).joinpath(TEMPLATES, name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> jinja2.Environment:
    library = require("jinja2", EXTRA)
    environment: jinja2.Environment = library.Environment(
        loader=library.PackageLoader("cxr_edge.report", TEMPLATES),
        autoescape=True,
        undefined=library.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment
