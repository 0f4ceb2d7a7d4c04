"""HTML of a self-contained page: everything that is not markup is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from cxr_edge.report import html

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; max-width: 44rem; margin: 0 auto;
       padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.notice { border: 1px solid #b23b3b; color: #8a2323; padding: .4rem .8rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums;
        margin: .8rem 0; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #ddd;
         vertical-align: top; overflow-wrap: break-word; }
td.n, th.n { white-space: nowrap; } td.m { color: #555; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1.6rem 0; } img { max-width: 100%; height: auto; }
figcaption, .small { font-size: .88rem; color: #444; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
@media print { body { max-width: none; font-size: 11pt; } img { max-height: 10cm; }
               figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
               .wide { overflow: visible; } }
"""


def small(text: str) -> str:
    """A paragraph of explanation."""
    return f'<p class="small">{escape(text)}</p>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls where a screen is narrow; the first cell of a row is its heading."""
    top = "".join(f'<th class="n" scope="col">{escape(head)}</th>' for head in heads)
    lines = [
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f'<td class="{_kind(cell)}">{escape(cell)}</td>' for cell in rest)
        + "</tr>"
        for first, *rest in rows
    ]
    return f'<div class="wide"><table><tr>{top}</tr>{"".join(lines)}</table></div>'


def _kind(cell: str) -> str:
    """Numbers never break over lines, words do."""
    return "n" if cell[:1] in "+-0123456789" else "m"


def picture(name: str, data: bytes, caption: str) -> str:
    """A PNG inside the page, with a sentence below."""
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return (
        f'<figure><img alt="{escape(name)}" src="{source}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def document(title: str, body: Iterable[str]) -> bytes:
    """The whole page; ``body`` is markup, ``title`` text."""
    return html.document(title, body, style=_STYLE)
