"""The pages of an evaluation: said in its own labels, drawn from the JSON alone."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cxr_edge import documents
from cxr_edge.errors import DataError
from cxr_edge.metrics.evaluation import (
    Evaluation,
    GalleryGroup,
    ReliabilityBin,
    SeriesFigures,
    parse_evaluation,
)
from cxr_edge.metrics.intervals import Interval
from cxr_edge.report.charts import png, specification
from cxr_edge.report.documents import draw_page, draw_page_beside
from cxr_edge.report.evaluation.page import evaluation_figures, evaluation_page
from cxr_edge.report.evaluation.text import report_text
from cxr_edge.reporting import Silent

HERE = Path(__file__).parent
DRAWN = runpy.run_path(str(HERE.parent / "metrics/drawn.py"))
Markup: Any = runpy.run_path(str(HERE / "conftest.py"))["Markup"]
BINARY, THREE = DRAWN["BINARY_SPEC"], DRAWN["THREE_SPEC"]
SPECS = pytest.mark.parametrize("spec", [BINARY, THREE], ids=["two labels", "three"])


def write(folder: Path, document: Any) -> Path:
    path = folder / "evaluation.json"
    path.write_bytes(documents.dump(document))
    return path


def evaluation(spec: Any = BINARY, **changes: Any) -> Evaluation:
    drawn: Evaluation = DRAWN["draw_evaluation"](spec)
    return dataclasses.replace(drawn, **changes)


def page_of(one: Evaluation, folder: Path) -> str:
    document = dataclasses.replace(DRAWN["draw_document"](), parts={"test": one})
    return evaluation_page(document, folder).decode()


def test_series_and_what_brightness_explains_are_shown_where_they_were_measured(tmp_path):
    share = Interval(0.75, 0.6, 0.875)
    plain = evaluation()
    assert plain.baseline
    without = visible(page_of(plain, tmp_path))
    assert "By series" not in without and "explain" not in without
    one = evaluation(
        by_series={"ward-2": SeriesFigures(1234, 987, share)},
        baseline=dataclasses.replace(plain.baseline, explained=0.0724),
    )
    page = visible(page_of(one, tmp_path))
    for words in ("By series", "ward-2", "1,234", "987", "0.750 (0.600 to 0.875)", "7.2\u00a0%"):
        assert words in page
    lines = report_text(one)
    assert "ward-2  0.750 (0.600 to 0.875)    1234       987" in lines
    assert "explain 7.2% of the variance of the model's logits within a label" in lines
    data = documents.dump(dataclasses.replace(DRAWN["draw_document"](), parts={"test": one}))
    assert parse_evaluation(data, "x").parts["test"].by_series == one.by_series


def visible(page: str) -> str:
    """The text of a page without scripts and styles."""
    markup = Markup(page.encode())
    return " ".join(text for tag, text in markup.texts if tag not in ("script", "style"))


@SPECS
def test_the_page_is_drawn_from_the_json(tmp_path, spec):
    document = DRAWN["draw_document"](spec)
    DRAWN["write_pictures"](document, tmp_path)
    page = draw_page(write(tmp_path, document)).decode()
    text = visible(page)
    for label in spec.labels:
        assert label in text
    assert "cxr-edge evaluate test -o out" in text  # how it is made again
    assert "2 January 2026" in text
    assert (
        "93.0\u00a0% of 66 images of 33 patients are classified correctly" in text or spec is THREE
    )
    assert page.count("data:image/png;base64,") == (24 if spec is BINARY else 12)
    stored = json.loads(re.findall(r'id="charts">(.*?)</script>', page, re.S)[0])
    figures = evaluation_figures(document.parts["test"])
    assert set(stored["charts"]) == {f"{figure.name}-part-1" for figure in figures}
    for name in stored["charts"]:
        assert page.count(f'data-chart="{name}"') == 1


def test_a_page_of_other_labels_says_nothing_of_lungs_or_patients(tmp_path):
    one = evaluation(THREE)
    one = dataclasses.replace(one, data=dataclasses.replace(one.data, patients=one.data.images))
    text = visible(page_of(one, tmp_path)).lower()
    for word in ("patient", "lung", "x-ray", "pneumonia", "two cells", "diagnos"):
        assert word not in text.replace("not for diagnosis or treatment", ""), word


def test_the_mistakes_of_two_labels_are_named(tmp_path):
    text = visible(page_of(evaluation(), tmp_path))
    assert "9.1\u00a0% of the PNEUMONIA images are missed" in text
    assert "9.1\u00a0% of the NORMAL images are called PNEUMONIA" in text
    assert "the model is 10.0 points better (95 % +4.0 to +16.0)" in text


def test_a_worse_model_is_called_worse(tmp_path):
    one = evaluation()
    baseline = one.baseline
    assert baseline
    change = {
        n: dataclasses.replace(i, value=-0.1) for n, i in baseline.comparison.difference.items()
    }
    comparison = dataclasses.replace(baseline.comparison, difference=change)
    one = dataclasses.replace(one, baseline=dataclasses.replace(baseline, comparison=comparison))
    assert "10.0 points worse" in visible(page_of(one, tmp_path))


@SPECS
def test_names_with_markup_are_text(tmp_path, spec):
    page = evaluation_page(DRAWN["hostile"](DRAWN["draw_document"](spec)), tmp_path)
    assert DRAWN["HOSTILE"].encode() not in page
    assert DRAWN["HOSTILE"] in visible(page.decode())
    assert len(Markup(page).attributes("script")) == 3


def test_labels_with_markup_are_text(tmp_path):
    spec = dataclasses.replace(THREE, labels=(DRAWN["HOSTILE"], "'\"</style>", "tulip"))
    page = evaluation_page(DRAWN["draw_document"](spec), tmp_path)
    assert DRAWN["HOSTILE"].encode() not in page
    Markup(page)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../outside.png", "outside the folder"),
        ("/etc/hostname", "outside the folder"),
        ("a/../../outside.png", "outside the folder"),
        ("..\\outside.png", "outside the folder"),
        ("missing.png", "1 picture is not there; copy missing.png beside evaluation.json"),
        ("text.png", "neither PNG nor JPEG"),
        ("link.png", "outside the folder"),
        ("folder/outside.png", "outside the folder"),
        ("large.png", "the limit is"),
    ],
)
def test_a_picture_that_must_not_be_shown_is_said(tmp_path, name, problem):
    folder = tmp_path / "out"
    folder.mkdir()
    picture = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    (tmp_path / "outside.png").write_bytes(picture)
    (folder / "text.png").write_text("secret")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "large.png").write_bytes(picture + bytes(2**20))
    entry = dataclasses.replace(evaluation().gallery[0].entries[0], picture=name, heatmap=None)
    one = evaluation(gallery=(GalleryGroup("wrong", 1, (entry,)),), heatmap_source=None)
    page = page_of(one, folder)
    assert problem in visible(page)
    assert "picture not found" in visible(page)
    assert base64.b64encode(b"secret").decode() not in page
    assert "data:image" not in page


def test_a_long_gallery_stays_bounded(tmp_path):
    picture = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    (tmp_path / "p.png").write_bytes(picture)
    entry = dataclasses.replace(evaluation().gallery[0].entries[0], picture="p.png", heatmap=None)
    one = evaluation(gallery=(GalleryGroup("wrong", 5000, (entry,) * 1000),), heatmap_source=None)
    page = page_of(one, tmp_path)
    assert page.count("data:image/png") == 200
    assert "200 of 5,000 images" in visible(page)


def test_the_pictures_of_all_parts_share_one_limit_and_heat_maps_count(tmp_path):
    picture = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    (tmp_path / "p.png").write_bytes(picture)
    first = evaluation().gallery[0].entries[0]
    entry = dataclasses.replace(first, picture="p.png", heatmap="p.png")
    groups = tuple(GalleryGroup(kind, 60, (entry,) * 60) for kind in ("wrong", "right"))
    one = evaluation(gallery=groups)
    document = dataclasses.replace(DRAWN["draw_document"](), parts={"a": one, "b": one})
    page = evaluation_page(document, tmp_path).decode()
    assert page.count("data:image/png") == 200
    text = visible(page)
    assert "Decided right, spread over the folder: 20 of 60 images are left out" in text
    assert "Decided right, spread over the folder: 60 of 60 images are left out" in text
    assert "Decided wrongly, the most certain first: 60 of 60 images are left out" in text


def test_the_bytes_of_all_pictures_are_limited(tmp_path):
    picture = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    (tmp_path / "p.png").write_bytes(picture.ljust(2**20, b"x"))
    entry = dataclasses.replace(evaluation().gallery[0].entries[0], picture="p.png", heatmap=None)
    one = evaluation(gallery=(GalleryGroup("wrong", 40, (entry,) * 40),), heatmap_source=None)
    page = page_of(one, tmp_path)
    assert page.count("data:image/png") == 32
    assert "8 of 40 images are left out" in visible(page)


def test_pictures_that_are_not_there_are_said_once_with_their_folder(tmp_path):
    text = visible(page_of(evaluation(), tmp_path))
    expected = "24 pictures are not there; copy the folder test-gallery beside evaluation.json"
    assert text.count("not there") == text.count(expected) == 1


def test_without_pictures_there_is_no_gallery(tmp_path):
    assert "Decided wrongly" not in visible(page_of(evaluation(gallery=None), tmp_path))


def test_parts_of_one_document_share_no_id(tmp_path):
    document = DRAWN["draw_document"]()
    two = dataclasses.replace(document, parts={"validation": evaluation(), "test": evaluation()})
    page = evaluation_page(two, tmp_path).decode()
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert page.count("window.vegaEmbed=") == 1


@SPECS
def test_every_chart_is_valid_and_a_png_too(spec):
    for figure in evaluation_figures(DRAWN["draw_evaluation"](spec)):
        figure.chart.properties(width=300).to_dict()  # validates against Vega-Lite's schema
        assert figure.caption
        assert specification(figure.chart)["width"] == "container"
    picture = cv2.imdecode(np.frombuffer(png(figure.chart), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] >= 1200
    assert picture.std() > 10


def test_a_document_with_few_points_is_drawn(tmp_path):
    """One image a bin, no ROC: what a small folder gives."""
    bins = (ReliabilityBin(0.0, 1.0, 0, None, None),)
    one = evaluation(roc={}, precision_recall={}, reliability=bins, baseline=None, copies=None)
    assert "ROC" not in [f.title for f in evaluation_figures(one)]
    assert "Reliability of the scores" in visible(page_of(one, tmp_path))


def test_forty_labels_are_drawn(tmp_path):
    labels = tuple(f"label {i}" for i in range(40))
    spec = dataclasses.replace(THREE, labels=labels)
    page = page_of(evaluation(spec), tmp_path)
    assert "label 39" in visible(page)
    assert "Scores of all images" in visible(page)
    assert len(page) < 2_500_000


def test_the_corner_of_the_roc_shows_the_threshold():
    figures = {figure.name: figure for figure in evaluation_figures(evaluation())}
    chart = specification(figures["roc-corner"].chart)
    (x,) = {tuple(layer["encoding"]["x"]["scale"]["domain"]) for layer in chart["layer"]}
    assert x == (0, 0.2)  # a false positive rate of .1 lies in its middle


def test_a_seeds_document_has_a_page(tmp_path):
    path = tmp_path / "seeds.json"
    path.write_bytes(documents.dump(DRAWN["draw_seeds"]()))
    text = visible(draw_page(path).decode())
    assert "Over 2 runs: accuracy 0.940 ± 0.014" in text
    assert "1-run" in text
    assert "not chance alone" in text and "changes by chance" not in text


def test_runs_of_one_recipe_are_said_to_differ_by_chance(tmp_path):
    document = DRAWN["draw_seeds"]()
    models = {n: dataclasses.replace(m, recipe="seed v1") for n, m in document.models.items()}
    path = tmp_path / "seeds.json"
    path.write_bytes(documents.dump(dataclasses.replace(document, models=models)))
    text = visible(draw_page(path).decode())
    assert "± is one sample standard deviation: what another seed of the same recipe" in text


def test_a_model_of_no_use_is_said_first(tmp_path):
    sound = evaluation()
    assert sound.why_useless is None and "of no use" not in visible(page_of(sound, tmp_path))
    decided = tuple((0, sum(row)) for row in sound.confusion)
    text = visible(page_of(dataclasses.replace(sound, confusion=decided), tmp_path))
    assert f"This model is of no use: the model decides {BINARY.labels[1]} for all" in text


def test_a_damaged_evaluation_is_refused(tmp_path):
    path = write(tmp_path, DRAWN["draw_document"]())
    path.write_text(path.read_text().replace('"confusion"', '"confused"', 1))
    with pytest.raises(DataError, match=r"evaluation\.json"):
        draw_page(path)


def test_where_pages_cannot_be_drawn_the_command_that_can_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    said: list[str] = []

    class Listener(Silent):
        def say(self, message: str) -> None:
            said.append(message)

    assert draw_page_beside(write(tmp_path, DRAWN["draw_document"]()), Listener()) is None
    (line,) = said
    assert "cxr-edge[report]" in line
    assert f"cxr-edge report {tmp_path / 'evaluation.json'}" in line
    assert not (tmp_path / "evaluation.html").exists()
