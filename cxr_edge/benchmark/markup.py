"""HTML of the report's page: its style, its one script, and what everything is wrapped in.

Everything that is not markup is escaped here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from cxr_edge.benchmark.columns import COLUMNS
from cxr_edge.benchmark.report import Report, SuiteRow
from cxr_edge.benchmark.summary import SUITE_HEADS, suite_cells
from cxr_edge.benchmark.svg import Chart, Drawing
from cxr_edge.report import html

# The colours are those of Okabe and Ito, lighter or darker where the background asks for it.
_STYLE = """
:root { color-scheme: light dark; --fg: #1c1c1c; --soft: #595959; --line: #dcdcdc; --bg: #fff;
  --warn: #8a2323; --panel: #f5f6f7; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b3608f;
  --c4: #e08a00; --c5: #3f9bd0; --c6: #7a6a00; --c7: #6b6b6b; }
@media screen and (prefers-color-scheme: dark) { :root { --fg: #e9e9e9; --soft: #a9adb1;
  --line: #3b4046; --bg: #16191c; --warn: #ff9d94; --panel: #20252a; --c0: #5cb3ec; --c1: #f08a4b;
  --c2: #2fc79b; --c3: #dd9cc3; --c4: #f0b43c; --c5: #8fd0f5; --c6: #e3d84a; --c7: #b5b5b5; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg);
  max-width: 76rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .6rem 0; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; } h3 { font-size: 1rem; margin: 0 0 .4rem; }
p, ul, dl, details { max-width: 52rem; }
a { color: var(--c0); } .notice { color: var(--warn); font-weight: 600; margin: 0 0 1rem; }
.headline { font-size: 1.12rem; border-left: 4px solid var(--c0); padding-left: .9rem; }
.headline p { margin: .3rem 0; }
.warnings { margin-top: 1rem; border: 1px solid var(--warn); border-left-width: 6px;
  padding: .5rem 1rem; max-width: 54rem; }
.warnings h2 { color: var(--warn); margin: 0; font-size: 1rem; }
.warnings ul { margin: .3rem 0; padding-left: 1.2rem; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1rem;
  font-size: .92rem; margin: .6rem 0; } dt { color: var(--soft); } dd { margin: 0; }
dl, pre, .legend, .multiple p { overflow-wrap: anywhere; }
pre { background: var(--panel); padding: .8rem 1rem; white-space: pre-wrap; font-size: .9rem; }
.wide { overflow-x: auto; border-block: 1px solid var(--line); }
table { border-collapse: separate; border-spacing: 0; font-size: .84rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; } tbody tr:last-child > * { border-bottom: 0; }
thead th { vertical-align: bottom; background: var(--panel); min-width: 3.4rem; }
.n { text-align: right; white-space: nowrap; } thead .n { white-space: normal; }
tbody th { position: sticky; left: 0; background: var(--bg); font-weight: 600; min-width: 15rem;
  max-width: 20rem; border-right: 1px solid var(--line); } td { white-space: nowrap; }
td.long { min-width: 13rem; white-space: normal; }
thead th.name { position: sticky; left: 0; z-index: 1; }
tr.best > * { box-shadow: inset 0 2px var(--c0), inset 0 -2px var(--c0); }
tr.absent { color: var(--soft); } tr.absent th { font-weight: 400; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
th button::after { content: "\\2195"; opacity: .45; margin-left: .25em; }
th[aria-sort=ascending] button::after { content: "\\2191"; opacity: 1; }
th[aria-sort=descending] button::after { content: "\\2193"; opacity: 1; }
abbr { text-decoration: underline dotted var(--soft); text-underline-offset: 3px; }
summary { cursor: pointer; margin: .7rem 0; } details dt { font-weight: 600; }
.charts { display: grid; gap: 2.4rem 3rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); }
figure { margin: 0; min-width: 0; } figcaption { font-size: .92rem; margin-top: .5rem; }
figure svg { display: block; width: 100%; height: auto; } figure.all { grid-column: 1 / -1; }
.multiples { display: grid; gap: 1.2rem 1.6rem; justify-items: center;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); }
.multiple { width: 100%; max-width: 19rem; }
.multiple p { white-space: pre-line; font-size: .88rem; margin: 0 0 .3rem; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; list-style: none; padding: 0;
  margin: .4rem 0 0; font-size: .86rem; } .legend li { display: flex; gap: .45rem; min-width: 0; }
figure svg.key { flex: none; width: 24px; height: 14px; margin-top: .25rem; }
svg text { font: 13px system-ui, sans-serif; fill: var(--fg); } svg .soft { fill: var(--soft); }
svg .mid { text-anchor: middle; } svg .end { text-anchor: end; }
svg .halo { paint-order: stroke; stroke: var(--bg); stroke-width: 3px; stroke-linejoin: round; }
.c0 { --k: var(--c0); } .c1 { --k: var(--c1); } .c2 { --k: var(--c2); } .c3 { --k: var(--c3); }
.c4 { --k: var(--c4); } .c5 { --k: var(--c5); } .c6 { --k: var(--c6); } .c7 { --k: var(--c7); }
.fg { --k: var(--fg); } svg .fill { fill: var(--k); } svg .seen { fill-opacity: .8; }
svg .seen, svg rect.fill { stroke: var(--bg); stroke-width: 1; }
svg .hollow { fill: none; stroke: var(--k); stroke-width: 2; }
svg .box { fill: var(--k); fill-opacity: .3; stroke: var(--k); stroke-width: 1.2; }
svg .stroke { fill: none; stroke: var(--k); stroke-width: 1.3; } svg .thick { stroke-width: 2.5; }
svg .faint { stroke-width: .6; opacity: .6; } svg .curve { stroke-width: 1.8; }
svg .broad { stroke-width: 6; opacity: .25; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .mean { fill: none; stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 5 4; }
svg .front { fill: none; stroke: var(--fg); stroke-width: 1.6; stroke-dasharray: 2 3; }
svg .lead { stroke: var(--soft); stroke-width: .8; }
svg .count { fill: var(--line); } svg .dots { fill: none; stroke: var(--k); stroke-width: 4.5;
  stroke-linecap: round; opacity: .55; }
@media (max-width: 30rem) { body { padding: .75rem; }
  dl { grid-template-columns: minmax(0, 1fr); } dd { margin: 0 0 .4rem; }
  .multiple { max-width: 17rem; } tbody th { min-width: 7rem; max-width: 8.5rem; } }
@media print { @page { size: A4 portrait; margin: 11mm; }
  @page wide { size: A4 landscape; margin: 9mm; }
  body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; page: wide; }
  table { font-size: 6.4pt; width: 100%; } th, td { padding: 1.5pt 2pt; white-space: normal; }
  thead { display: table-row-group; } thead th, td.long { min-width: 0; max-width: none; }
  tbody th { min-width: 24mm; max-width: none; } tbody th, thead th.name { position: static; }
  tr.best > * { box-shadow: none; background: var(--panel); }
  th button::after { content: none; } abbr { text-decoration: none; }
  figure, tr, .warnings, .multiple { break-inside: avoid; } h2, h3 { break-after: avoid; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
  summary { list-style: none; font-weight: 600; } details dl { display: block; font-size: 8.5pt; }
  details dt, details dd { display: inline; }
  details dt::after { content: ": "; } details dd::after { content: "\\A"; white-space: pre; }
  .charts { grid-template-columns: 1fr 1fr; gap: 7mm; } figcaption, .legend { font-size: 8pt; }
  .multiples { grid-template-columns: repeat(3, 1fr); gap: 5mm; } .multiple p { font-size: 8pt; } }
"""

_SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table.sort")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const numbers = head.dataset.kind === "number";
    const key = row => row.cells[place].dataset.v;
    body.append(...[...body.rows].sort((one, other) => {
      const a = key(one), b = key(other);
      if (a === "" || b === "") return (a === "") - (b === "");
      return sign * (numbers ? a - b : a.localeCompare(b, "en", {numeric: true}));
    }));
  }));
}
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
});
"""


def document(title: str, body: Iterable[str]) -> bytes:
    """The whole page; ``body`` is markup, ``title`` text."""
    return html.document(title, body, style=_STYLE, script=_SCRIPT)


def rows_table(report: Report, best: str | None) -> str:
    """The table of the rows, sorted by a click on a heading; ``best`` is a row's name."""
    heads = [_head("#", "Place in the report; the first plot uses it.", "n", numbers=True)]
    for column in COLUMNS:
        kind = "name" if column is COLUMNS[0] else "n" if column.write else ""
        numbers = column.write is not None
        heads.append(_head(column.heading, column.definition, kind, numbers=numbers))
    lines = []
    for number, row in enumerate(report.rows, 1):
        cells = [f'<td class="n" data-v="{number}">{number}</td>']
        for column in COLUMNS:
            value = column.value(row)
            name = "th" if column is COLUMNS[0] else "td"
            kind = "n" if column.write else "long" if column is COLUMNS[-1] else ""
            scope = ' scope="row"' if name == "th" else ""
            key = escape("" if value is None else str(value))
            text = escape(column.cell(row))
            cells.append(f'<{name} class="{kind}" data-v="{key}"{scope}>{text}</{name}>')
        state = "best" if row.name == best else "" if row.outcome == "measured" else "absent"
        lines.append(f'<tr class="{state}">{"".join(cells)}</tr>')
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Rows"><table class="sort">'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def suite_table(rows: Sequence[SuiteRow]) -> str:
    """The table of what the suites measured."""
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in SUITE_HEADS)
    lines = []
    for row in rows:
        group, name, *numbers = map(escape, suite_cells(row))
        figures = "".join(f'<td class="n">{number}</td>' for number in numbers)
        lines.append(f"<tr><td>{group}</td><td>{name}</td>{figures}</tr>")
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Parts and peers"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _head(heading: str, definition: str, kind: str, *, numbers: bool) -> str:
    sort = "number" if numbers else "text"
    return (
        f'<th scope="col" class="{kind}" aria-sort="none" data-kind="{sort}">'
        f'<button type="button"><abbr title="{escape(definition)}">{escape(heading)}</abbr>'
        "</button></th>"
    )


def figure(chart: Chart) -> str:
    """A chart with its title, legend and caption."""
    legend = "".join(f"<li>{key}<span>{escape(text)}</span></li>" for key, text in chart.legend)
    several = len(chart.drawings) > 1 or chart.drawings[0].heading
    drawn = multiples(chart.drawings) if several else chart.drawings[0].svg
    return (
        f'<figure id="{escape(chart.name)}" class="{"all" if several else ""}">'
        f"<h3>{escape(chart.title)}</h3>{drawn}"
        + (f'<ul class="legend">{legend}</ul>' if legend else "")
        + f"<figcaption>{escape(chart.caption)}</figcaption></figure>"
    )


def multiples(drawings: Sequence[Drawing]) -> str:
    """Small drawings beside each other, each with its heading."""
    shown = (
        f'<div class="multiple"><p>{escape(each.heading)}</p>{each.svg}</div>' for each in drawings
    )
    return f'<div class="multiples">{"".join(shown)}</div>'
