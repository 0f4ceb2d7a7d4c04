"""The frame of every page: escaping, its policy, one script of charts, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import runpy
from pathlib import Path

import jinja2
import pytest

from cxr_edge.bundle.manifest import NOTICE
from cxr_edge.errors import MissingExtraError
from cxr_edge.report import charts, page

_CONFTEST = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
HOSTILE, Markup = _CONFTEST["HOSTILE"], _CONFTEST["Markup"]


def test_texts_are_escaped(hostile_page):
    markup = Markup(hostile_page)
    assert HOSTILE.encode() not in hostile_page
    assert markup.attributes("img") == []
    assert len(markup.attributes("script")) == 3  # charts, Vega, the page's own
    assert markup.of("h1") == [HOSTILE]
    assert markup.of("code") == [HOSTILE]
    assert markup.attributes("th")[0]["title"] == HOSTILE


def test_the_page_carries_its_charts_as_data(hostile_page):
    markup = Markup(hostile_page)
    (stored,) = [t for tag, t in markup.texts if tag == "script" and t.startswith('{"config"')]
    (chart,) = json.loads(stored)["charts"].values()
    assert chart["data"]["values"][0] == {"row": HOSTILE, "ms": 1.5}
    assert [a["data-chart"] for a in markup.attributes("div") if "data-chart" in a] == ["chart"]


def test_every_script_and_style_is_in_the_policy_by_its_hash(hostile_page):
    text = hostile_page.decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    policy = policy.replace("&#39;", "'")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))

    def hashes(pattern: str) -> list[str]:
        texts = re.findall(pattern, text, re.S)
        digests = [hashlib.sha256(each.encode()).digest() for each in texts]
        return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]

    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == hashes("<script>(.*?)</script>")
    assert rules["style-src"].split() == hashes("<style>(.*?)</style>")
    assert "unsafe" not in policy


def test_nothing_is_fetched(hostile_page):
    markup = Markup(hostile_page)
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in markup.tags}
    assert all(not {"src", "href", "style"} & set(attributes) for _, attributes in markup.tags)
    (style,) = re.findall("<style>(.*?)</style>", hostile_page.decode(), re.S)
    assert not re.search(r"url\(|@import|https?:", style)
    assert '"$schema"' not in hostile_page.decode().split('id="charts">')[1].split("</script>")[0]


def test_the_javascript_of_charts_is_there_once_or_not_at_all(hostile_page, render):
    assert hostile_page.count(b"window.vegaEmbed=") == 1
    plain = render("<p>text</p>", title="No charts")
    assert b"window.vegaEmbed=" not in plain
    assert len(plain) < 20_000


def test_the_notice_comes_first(hostile_page):
    assert Markup(hostile_page).of("p")[0] == NOTICE


def test_a_value_that_a_template_lacks_is_an_error(render):
    with pytest.raises(jinja2.UndefinedError):
        render("{{ nothing }}", title="x")


def test_cells_are_sorted_by_their_values(hostile_page):
    cells = [attributes["data-value"] for attributes in Markup(hostile_page).attributes("td")]
    assert cells == ["1.5", ""]


@pytest.mark.parametrize("missing", ["altair", "vl_convert", "jinja2"])
def test_without_the_extra_the_error_names_it(monkeypatch, missing):
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"cxr-edge\[report\]"):
        charts.require_report()


def test_a_script_element_cannot_be_ended_by_the_bundle():
    assert not re.search("</script", page.javascript_bundle(), re.IGNORECASE)
