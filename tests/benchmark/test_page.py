from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser

from cxr_edge.benchmark.columns import COLUMNS
from cxr_edge.benchmark.page import report_page
from cxr_edge.benchmark.report import dump_report, parse_report


class Reader(HTMLParser):
    """Collects tags, texts and what is not closed."""

    VOID = ("meta", "path", "rect")

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_the_drawn_report_is_one(any_report):
    assert parse_report(dump_report(any_report), "drawn") == any_report


def test_the_page_is_well_formed_and_fetches_nothing(any_report):
    page = report_page(any_report)
    reader = Reader(page)
    assert reader.open == []
    assert page.count(b"<script") == reader.count("script") == 1
    assert not re.search(rb"""(src|href|url\()\s*=?\s*["'(]?(https?:)?//""", page)
    assert not {"img", "link", "iframe", "a"} & {tag for tag, _ in reader.tags}
    assert all("nan" not in (a.get("d") or "").lower() for _, a in reader.tags)


def test_only_its_own_script_may_run(draw_report):
    page = report_page(draw_report()).decode()
    script = re.search("<script>(.*)</script>", page, re.DOTALL)
    sha = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{sha}'" in page


def test_markup_in_data_is_text(draw_report, drawn):
    page = report_page(drawn.hostile(draw_report())).decode()
    assert drawn.HOSTILE not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 20
    attack = draw_report(model='"><img src=x>', command="</code></pre><b>")
    page = report_page(attack).decode()
    assert "<img" not in page
    assert "<pre><code>&lt;/code&gt;&lt;/pre&gt;&lt;b&gt;</code></pre>" in page


def test_what_comes_first(draw_report):
    texts = [text.strip() for text in Reader(report_page(draw_report())).texts]
    order = [
        "Benchmark of chest-xray-reference",
        "Research software, not a medical device. Not for diagnosis or treatment.",
        "Warnings",
        "Machine and measurement",
        "Every row",
        "What the columns mean",
        "Fast and alike",
        "How steady each row is",
        "From a file to a decision",
        "Score by score",
        "ROC: right and wrong positives",
        "Reliability: what a score is worth",
        "What this machine can do",
        "Make it again",
    ]
    places = [texts.index(text, 5) for text in order]  # 5: past the page's head
    assert places == sorted(places)


def test_the_headline_tells_the_fastest_that_decides_alike(draw_report):
    page = report_page(draw_report()).decode()
    assert (
        "tflite-dynamic, litert, 1 thread answers in 5.10 ms (median), 8.04 times as fast as "
        "Keras, original; of 304 inputs (the images) it decides all like the original (no flips), "
        "and no score moves by more than 8.8e-03." in page
    )
    assert "onnx-int8, onnxruntime, 1 thread is faster (3.21 ms) but decides 1 of 304" in page


def test_the_headline_admits_flips_and_missing_comparisons(draw_report, drawn):
    row = drawn.draw_row(0)
    page = report_page(draw_report(rows=(row,), headline=None)).decode()
    assert "it decides 1 otherwise than the original (flips)" in page
    page = report_page(draw_report(rows=(dataclasses.replace(row, parity=None),))).decode()
    assert "its answers were not compared with the original" in page
    page = report_page(drawn.nothing_measured(draw_report())).decode()
    assert "No exported file could be measured here" in page


def test_every_column_has_its_definition_on_hover_and_below(draw_report):
    reader = Reader(report_page(draw_report()))
    hovers = [attrs["title"] for tag, attrs in reader.tags if tag == "abbr"]
    assert hovers[1:] == [column.definition for column in COLUMNS]
    for column in COLUMNS:
        assert reader.texts.count(column.definition) == 1


def test_rows_that_failed_say_why(draw_report):
    page = report_page(draw_report()).decode()
    assert page.count('<tr class="absent">') == 2
    assert "failed: EngineError: no kernel for it</td>" in page
    assert "skipped, openvino reads no int8 .tflite</li>" in page


def test_without_warnings_there_is_no_box(draw_report):
    assert 'class="warnings"' not in report_page(draw_report(warnings=())).decode()


def test_without_labels_there_is_no_roc(draw_report, drawn):
    for change in (drawn.unlabelled, drawn.many_labels):
        page = report_page(change(draw_report())).decode()
        assert 'id="roc"' not in page
        assert 'id="reliability"' not in page
        assert 'id="parity"' in page


def test_more_than_two_labels_have_no_threshold(draw_report, drawn):
    page = report_page(drawn.many_labels(draw_report())).decode()
    assert "the label with the largest score" in page
    assert "P(decision) by the row" in page
    assert "threshold 0.42" not in page
