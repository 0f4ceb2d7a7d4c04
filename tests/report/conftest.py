"""A small page with a chart and a table, and a reader of its markup."""

from __future__ import annotations

from html.parser import HTMLParser

import altair as alt
import pytest

from cxr_edge.report import page
from cxr_edge.report.charts import Figure
from cxr_edge.report.tables import Cell, Heading, Table, TableRow

HOSTILE = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(1)>"


class Markup(HTMLParser):
    """Collects tags and texts, and checks that what is opened is closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, document: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(document.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def of(self, tag: str) -> list[str]:
        """The texts directly inside elements of a tag."""
        return [text for parent, text in self.texts if parent == tag]

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def small_chart(label: str = "first") -> alt.Chart:
    data = alt.Data(values=[{"row": label, "ms": 1.5}, {"row": "second", "ms": 2.5}])
    return (
        alt.Chart(data)
        .mark_bar(tooltip=True)
        .encode(x=alt.X("ms:Q", title="latency, ms"), y=alt.Y("row:N", title=None))
        .properties(height=80)
    )


@pytest.fixture
def render(monkeypatch):
    """Render a template given as text: its content block, with ``figures`` and ``table``."""
    import jinja2

    original = page._environment()

    def render(content: str, **values: object) -> bytes:
        text = f'{{% extends "base.html.j2" %}}{{% block content %}}{content}{{% endblock %}}'
        environment = original.overlay()
        environment.loader = jinja2.ChoiceLoader(
            [original.loader, jinja2.DictLoader({"test.html.j2": text})]
        )
        environment.cache = None
        monkeypatch.setattr(page, "_environment", lambda: environment)
        return page.render_page("test.html.j2", **values)

    return render


@pytest.fixture
def hostile_page(render) -> bytes:
    """A page that shows every part, with markup in every text."""
    figure = Figure("chart", HOSTILE, HOSTILE, small_chart(HOSTILE))
    table = Table(
        (Heading(HOSTILE, HOSTILE), Heading("ms", numeric=True)),
        (
            TableRow((Cell(HOSTILE, HOSTILE), Cell("1.5", 1.5))),
            TableRow((Cell("b", "b"), Cell(""))),
        ),
        HOSTILE,
    )
    content = (
        "{{ parts.verdict([hostile]) }}{{ parts.warnings([hostile]) }}"
        "{{ parts.figures(list) }}{{ parts.table(table) }}"
        "{{ parts.facts([(hostile, hostile)]) }}{{ parts.command(hostile) }}"
    )
    return render(
        content, title=HOSTILE, figures=[figure], list=[figure], table=table, hostile=HOSTILE
    )
