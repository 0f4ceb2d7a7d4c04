"""Documents that parse, but whose parts disagree: refused in one line, never drawn as nonsense."""

from __future__ import annotations

import copy
import json
import random
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cxr_edge import documents
from cxr_edge.benchmark.report import Truth, dump_report
from cxr_edge.errors import BenchmarkError, CxrEdgeError, DataError
from cxr_edge.report import page
from cxr_edge.report.documents import draw_page

TESTS = Path(__file__).parents[1]
METRICS = runpy.run_path(str(TESTS / "metrics/drawn.py"))
BENCHMARK = runpy.run_path(str(TESTS / "benchmark/drawn.py"))

Place = tuple[str | int, ...]
"""Keys and indices from the top of a document to a value."""

EVALUATION: dict[str, Any] = json.loads(documents.dump(METRICS["draw_document"]()))
SEEDS: dict[str, Any] = json.loads(documents.dump(METRICS["draw_seeds"]()))
REPORT: dict[str, Any] = json.loads(
    dump_report(
        BENCHMARK["draw_report"](
            rows=(BENCHMARK["draw_row"](0), BENCHMARK["baselines"]()[0]),
            answers=(BENCHMARK["draw_answers"]("onnx-int8, onnxruntime, 1 thread", 0.1, 0, 6),),
            truth=Truth((True, False) * 3),
        )
    )
)
for _row in REPORT["rows"]:
    del _row["latency"]["samples_ms"][5:]
del REPORT["layers"]["onnx-int8, onnxruntime, 1 thread"][2:]

MOST_CHANGES = 100
"""Of a document, in ``make test``; all of some thousand take a minute."""
VALUES = (None, -1, 2, 1e300, "", [], {})
"""What a leaf is replaced by."""


def changed(document: dict[str, Any], place: Place, value: object) -> dict[str, Any]:
    """A copy with another value at a place."""
    whole = copy.deepcopy(document)
    node: Any = whole
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    return whole


def leaves(node: Any, place: Place = ()) -> Iterator[Place]:
    """Places of numbers, texts and nulls; one of several objects with the same keys is enough."""
    if isinstance(node, dict):
        shapes = []
        for key, value in node.items():
            shape = [*value] if isinstance(value, dict) else None
            if shape is None or shape not in shapes:
                yield from leaves(value, (*place, key))
            shapes.append(shape)
    elif isinstance(node, list):
        for index in sorted({0, len(node) - 1} if node else ()):
            yield from leaves(node[index], (*place, index))
    else:
        yield place


def refusal(folder: Path, document: dict[str, Any], error: type[CxrEdgeError]) -> str:
    """What is said of a document that has no page."""
    path = folder / "damaged.json"
    path.write_text(json.dumps(document))
    with pytest.raises(error) as caught:
        draw_page(path)
    message = str(caught.value)
    assert "damaged.json: " in message
    assert len(message.splitlines()) == 1
    assert len(message) < 600
    return message


PART: Place = ("parts", "test")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("parts",), {}, "parts is empty"),
        ((*PART, "figures", "accuracy", "value"), 1.1, "accuracy: value is 1.1, expected 0 to 1"),
        ((*PART, "figures", "accuracy", "low"), 0.99, "above high"),
        ((*PART, "figures", "loss", "high"), 1e300, "loss: high is 1e+300"),
        ((*PART, "figures", "auc"), None, "auc"),
        ((*PART, "figures"), {}, "figures lacks 'accuracy', 'auc', 'ece', 'loss'"),
        ((*PART, "calibration_error_floor"), -0.1, "calibration_error_floor is -0.1"),
        ((*PART, "data", "patients"), 0, "patients is 0, expected at least 1"),
        ((*PART, "data", "patients"), 10_000, "more than the 66 images"),
        ((*PART, "data", "images"), 67, "confusion counts 66 images, data 67"),
        ((*PART, "data", "unreadable"), -1, "unreadable is -1"),
        ((*PART, "data", "resamples"), 2**63, "is too large"),
        ((*PART, "by_label"), {}, "by_label is of nothing"),
        ((*PART, "model", "spec", "labels"), ["A", "PNEUMONIA"], "by_label is of"),
        ((*PART, "by_label", "NORMAL", "support"), 1, "by_label 1"),
        ((*PART, "confusion"), [[1]], "confusion is not square"),
        ((*PART, "confusion", 0), [33, -1], "confusion holds -1"),
        ((*PART, "roc", "NORMAL"), EVALUATION["parts"]["test"]["roc"]["PNEUMONIA"], "roc is of"),
        ((*PART, "roc", "PNEUMONIA", "thresholds"), [None], "found false_positive_rate 21"),
        ((*PART, "roc", "PNEUMONIA", "thresholds", 3), None, "the first is null"),
        ((*PART, "roc", "PNEUMONIA", "thresholds", 3), 1e-3, "thresholds, from the last falls"),
        ((*PART, "roc", "PNEUMONIA", "true_positive_rate", 3), 0.0, "true_positive_rate falls"),
        ((*PART, "roc", "PNEUMONIA", "false_positive_rate", 20), 0.99, "from (0, 0) to (1, 1)"),
        (
            (*PART, "roc", "PNEUMONIA"),
            {
                "false_positive_rate": [0] + [1] * 10_000,
                "true_positive_rate": [0] + [1] * 10_000,
                "thresholds": [None] + [0.5] * 10_000,
            },
            "10,001 points, expected at most 10,000",
        ),
        ((*PART, "precision_recall", "PNEUMONIA", "recall", 2), 0.9, "recall ends at 0.9"),
        ((*PART, "precision_recall", "PNEUMONIA", "precision", 0), 2, "precision is 2"),
        ((*PART, "precision_recall"), {"x": None}, "precision_recall"),
        ((*PART, "reliability"), [], "reliability is empty"),
        ((*PART, "reliability", 0, "share"), None, "null in empty bins only"),
        ((*PART, "reliability", 1, "low"), 0.0, "reliability falls"),
        ((*PART, "histogram", "edges", 1), 0.9, "edges do not rise"),
        ((*PART, "histogram", "edges"), [], "edges do not reach from 0 to 1"),
        ((*PART, "histogram", "edges"), [0, 1], "50 bins, 50 of wrong decisions; expected 1"),
        ((*PART, "histogram", "wrong"), {}, "wrong is of nothing"),
        ((*PART, "histogram", "wrong", "NORMAL", 0), 50, "more wrong decisions than images"),
        ((*PART, "baseline", "comparison", "figures"), {}, "figures lacks 'accuracy'"),
        ((*PART, "baseline", "comparison", "difference"), {}, "difference lacks 'accuracy'"),
        ((*PART, "shifts", "gamma 1.4", "difference"), {}, "difference lacks 'accuracy'"),
        (
            (*PART, "shifts", "gamma 1.4", "difference"),
            {"accuracy": {"value": 0, "low": 0, "high": 0}},
            "difference is of 'accuracy'",
        ),
        ((*PART, "shifts", "gamma 1.4", "difference", "accuracy", "low"), -2, "low is -2"),
        ((*PART, "copies", "copy_scores"), [0.5], "scores 19, copy_scores 1 entries"),
        ((*PART, "copies", "pairs"), 3, "more than the 3 in all"),
        ((*PART, "gallery", 0, "total"), 0, "fewer than the 4 entries"),
        ((*PART, "gallery", 0, "entries", 0, "label"), "x" * 1000, "gallery, wrong names"),
    ],
)  # fmt: skip
def test_an_evaluation_whose_parts_disagree_is_refused(tmp_path, place, value, words):
    assert words in refusal(tmp_path, changed(EVALUATION, place, value), DataError)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("models",), {}, "models is empty"),
        (("figures",), {}, "figures is empty"),
        (("figures", "auc", "runs"), {"1-run": 0.9}, "runs is of '1-run'; expected"),
        (("figures", "auc", "standard_deviation"), -0.1, "standard_deviation is -0.1"),
        (("figures", "auc", "mean"), 1.5, "auc: mean is 1.5, expected 0 to 1"),
        (("data", "images"), 0, "images is 0, expected at least 1"),
    ],
)
def test_seeds_whose_parts_disagree_are_refused(tmp_path, place, value, words):
    assert words in refusal(tmp_path, changed(SEEDS, place, value), DataError)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("answers", 0, "exported"), [0.5], "original 6, exported 1, flipped 6 entries"),
        (("answers", 0, "original", 3), 1.5, "original is 1.5, expected 0 to 1"),
        (("answers", 0, "row"), "no such row", "answers names 'no such row'"),
        (("truth", "positive"), [True], "truth 1 entries"),
        (("baseline",), "no such row", "baseline names 'no such row'; expected one of"),
        (("layers",), {"no such row": []}, "layers names 'no such row'"),
        (("rows", 0, "name"), "Keras, original", "two rows have the same name"),
        (("rows", 0, "threads"), 0, "threads is 0, expected at least 1"),
        (("rows", 0, "bytes"), -1, "bytes is -1"),
        (("rows", 0, "parity", "flips"), 305, "flips is 305, more than the 304 inputs"),
        (("rows", 0, "parity", "inputs"), -1, "inputs is -1"),
        (("rows", 0, "parity", "max_abs_delta"), 2, "max_abs_delta is 2"),
        (("rows", 0, "latency", "p50_ms"), 0, "p50_ms is 0, expected 1e-09"),
        (("rows", 0, "latency", "samples_ms", 0), -1, "samples_ms is -1"),
        (("rows", 0, "of_baseline"), 0, "of_baseline is 0"),
        (("rows", 0, "start", "load_ms"), -1, "load_ms is -1"),
        (("rows", 0, "start", "average_mb"), -1, "average_mb is -1"),
        (("rows", 0, "start", "to_first_ms"), -1, "to_first_ms is -1"),
        (("rows", 0, "latency", "inferences"), 299, "p99_ms is of 299 inferences, expected null"),
        (("rows", 0, "end_to_end", "images_per_second_1"), -1, "images_per_second_1 is -1"),
        (("label",), "x" * 41, "label has 41 characters, expected at most 40"),
        (("threshold",), None, "both are null, or neither"),
        (("limits", "sgemm_gflops"), 0, "sgemm_gflops is 0"),
    ],
)
def test_a_benchmark_whose_parts_disagree_is_refused(tmp_path, place, value, words):
    assert words in refusal(tmp_path, changed(REPORT, place, value), BenchmarkError)


@pytest.mark.slow
@pytest.mark.parametrize(
    "most", [MOST_CHANGES, pytest.param(100_000, marks=pytest.mark.thorough)], ids=["some", "all"]
)
@pytest.mark.parametrize("name", ["EVALUATION", "SEEDS", "REPORT"])
def test_a_document_with_any_value_changed_has_a_page_or_a_reason(
    tmp_path, name, most, monkeypatch
):
    # The library is the same in each page, and its hash takes most of the time of one.
    monkeypatch.setattr(page, "javascript_bundle", lambda: "")
    document = globals()[name]
    path = tmp_path / "damaged.json"
    drawn = refused = 0
    changes = [(place, value) for place in leaves(document) for value in VALUES]
    for place, value in random.Random(0).sample(changes, min(most, len(changes))):
        path.write_text(json.dumps(changed(document, place, value)))
        try:
            draw_page(path)
        except CxrEdgeError as err:
            assert "\n" not in str(err)
            refused += 1
        except Exception as err:
            raise AssertionError(f"{place} = {value!r}") from err
        else:
            drawn += 1
    assert refused > drawn > 0
