"""The benchmark's charts: their data, encodings and units; each also draws a picture."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from cxr_edge.benchmark.report import Layer
from cxr_edge.metrics import roc_area
from cxr_edge.report.benchmark import score_charts, speed_charts, trade_off_chart, truth_charts
from cxr_edge.report.benchmark.page import report_figures
from cxr_edge.report.charts import png, specification


def layers_of(figure) -> list[dict]:
    """The layers of a chart, each with its own data."""
    drawn = specification(figure.chart)
    layers = []
    for layer in drawn["layer"]:
        name = layer.get("data", drawn.get("data"))["name"]
        layers.append({**layer, "data": {"values": drawn["datasets"][name]}})
    return layers


def mark_of(layer: dict) -> dict:
    return layer["mark"]


def layer_with(figure, kind: str, **properties: object) -> dict:
    """The first layer with such a mark."""
    for layer in layers_of(figure):
        mark = mark_of(layer)
        if mark["type"] == kind and properties.items() <= mark.items():
            return layer
    raise AssertionError(f"no {kind} with {properties} in {figure.name}")


def values(layer: dict) -> list[dict]:
    return layer["data"]["values"]


def test_every_figure_says_what_it_shows_and_has_axes_with_titles(any_report):
    for figure in report_figures(any_report):
        assert figure.title
        assert figure.caption.endswith(".")
        titles = [layer["encoding"].get("x", {}).get("title") for layer in layers_of(figure)]
        assert any(titles), figure.name


def test_every_chart_is_valid_vega_lite(draw_report):
    for figure in report_figures(draw_report()):
        figure.chart.to_dict(validate=True)


@pytest.mark.parametrize("name", ["latency", "pareto", "start", "end-to-end", "operations-1"])
def test_times_have_their_unit(draw_report, name):
    figure = next(f for f in report_figures(draw_report()) if f.name == name)
    titles = {layer["encoding"]["x"].get("title") for layer in layers_of(figure)}
    assert any((title and ", ms" in title) or (title and "ms (" in title) for title in titles)


def test_nothing_measured_has_no_figures(draw_report, drawn):
    assert report_figures(drawn.nothing_measured(draw_report())) == []


def test_figures_have_different_names(any_report):
    names = [figure.name for figure in report_figures(any_report)]
    assert len(set(names)) == len(names)


def test_every_figure_of_a_whole_report_draws_a_picture(draw_report):
    figures = report_figures(draw_report())
    assert len(figures) == 15
    for figure in figures:
        if figure.name.startswith("scores-") and figure.name != "scores-1":
            continue  # drawn by the same code
        assert png(figure.chart, width_px=360, scale=1).startswith(b"\x89PNG")


def test_the_pareto_front_is_what_nothing_beats():
    costs = [(3, 1), (1, 3), (2, 2), (2, 3), (3, 3), (1, 4), (4, 1)]
    front = trade_off_chart.pareto_front(costs)
    assert [costs[index] for index in front] == [(1, 3), (2, 2), (3, 1)]
    assert trade_off_chart.pareto_front([]) == []


def test_rows_lie_at_their_latency_and_difference(draw_report, drawn):
    figure = trade_off_chart.pareto_chart(draw_report())
    points = {p["row"]: p for p in values(layer_with(figure, "point", size=110))}
    assert drawn.KERAS not in points  # compared with itself
    point = points["onnx-int8, onnxruntime, 1 thread"]
    assert point["p50"] == pytest.approx(3.21)
    assert (point["delta"], point["changed"], point["flips"]) == (0.049, 1, "1 flip")
    assert points["onnx-fp32, openvino, 1 thread"]["delta"] == trade_off_chart.DELTA_FLOOR
    base = values(layer_with(figure, "rule"))
    assert base == [{"p50": pytest.approx(8.2), "row": drawn.BASELINE, "ms": "8.20"}]


def test_everything_lies_inside_the_pareto_axes(draw_report):
    figure = trade_off_chart.pareto_chart(draw_report())
    layer = layer_with(figure, "point", size=110)
    for field, channel in (("p50", "x"), ("delta", "y")):
        low, high = layer["encoding"][channel]["scale"]["domain"]
        assert all(low <= point[field] <= high for point in values(layer))
    assert (
        layer["encoding"]["x"]["scale"]["domain"][1] > 11.8
    )  # the slowest, which is the stock TFLite


def test_rings_mark_changed_decisions(draw_report):
    layer = layer_with(trade_off_chart.pareto_chart(draw_report()), "point", filled=False)
    assert layer["transform"] == [{"filter": "(datum.changed > 0)"}]


def test_engines_keep_their_colour_in_every_chart(draw_report):
    report = draw_report()
    figures = (speed_charts.latency_chart(report), trade_off_chart.pareto_chart(report))
    scales = [
        layer["encoding"]["color"]["scale"]
        for figure in figures
        for layer in layers_of(figure)
        if "color" in layer["encoding"]
    ]
    colours = {}
    for scale in scales:
        for engine, colour in zip(scale["domain"], scale["range"], strict=True):
            assert colours.setdefault(engine, colour) == colour
    assert len(set(colours.values())) == len(colours) == 4


def test_latency_boxes_are_quantiles_of_the_samples(draw_report, drawn):
    row = drawn.draw_row(0)
    figure = speed_charts.latency_chart(draw_report(rows=(row,)))
    (box,) = values(layer_with(figure, "bar"))
    low, high = np.quantile(row.latency.samples_ms, [0.25, 0.75])
    assert (box["low"], box["high"]) == (pytest.approx(low), pytest.approx(high))
    assert (box["p50"], box["max"]) == (row.latency.p50_ms, row.latency.max_ms)
    ticks = layer_with(figure, "tick", thickness=1)
    assert ticks["transform"] == [{"flatten": ["ms"]}]
    (samples,) = values(ticks)
    assert samples["ms"] == pytest.approx(row.latency.samples_ms, rel=1e-3)


def test_a_row_may_have_no_samples(draw_report, drawn):
    row = drawn.draw_row(0)
    latency = dataclasses.replace(row.latency, samples_ms=())
    report = draw_report(rows=(dataclasses.replace(row, latency=latency),))
    figure = speed_charts.latency_chart(report)
    (box,) = values(layer_with(figure, "bar"))
    assert box["low"] == box["high"] == row.latency.p50_ms
    assert png(figure.chart, width_px=360, scale=1).startswith(b"\x89PNG")


def test_steps_lie_end_to_end_and_the_total_is_written(draw_report, drawn):
    report = draw_report(rows=(drawn.draw_row(0),))
    figure = speed_charts.end_to_end_chart(report)
    parts = values(layer_with(figure, "bar"))
    assert [part["part"] for part in parts] == ["read", "decode", "preprocess", "infer", "post"]
    assert [part["end"] - part["start"] for part in parts] == pytest.approx(
        [0.12, 5.2, 1.4, 3.21, 0.31]
    )
    assert all(a["end"] == b["start"] for a, b in itertools.pairwise(parts))
    assert [t["value"] for t in values(layer_with(figure, "text"))] == ["10.4 ms"]


def test_a_start_is_its_parts(draw_report, drawn):
    figure = speed_charts.start_chart(draw_report(rows=(drawn.draw_row(0),)))
    parts = values(layer_with(figure, "bar"))
    assert [(part["part"], part["value"]) for part in parts] == [
        ("interpreter", "20.0 ms"),
        ("import", "80.0 ms"),
        ("load", "15.7 ms"),
        ("first", "6.42 ms"),
    ]


def test_the_slowest_operations_come_first_also_with_equal_names():
    layers = [Layer("conv", float(n), n / 210) for n in range(1, 21)]
    figure = speed_charts.operations_chart("row", layers, 1)
    parts = values(layer_with(figure, "bar"))
    assert [p["end"] for p in parts] == [*range(20, 20 - speed_charts.MOST_OPERATIONS, -1)]
    assert len({part["row"] for part in parts}) == speed_charts.MOST_OPERATIONS


def test_shares_of_the_roofline_are_percentages(draw_report, drawn):
    figure = speed_charts.roofline_chart(draw_report(rows=(drawn.draw_row(0),)))
    (part,) = values(layer_with(figure, "bar"))
    assert part["end"] == pytest.approx(100 * 1.9 / 3.21)
    assert layer_with(figure, "bar")["encoding"]["x"]["scale"]["domain"][1] >= 100


def test_score_differences_are_the_row_s_minus_the_original_s(draw_report):
    report = draw_report()
    figure, answers = score_charts.difference_charts(report)[0], report.answers[0]
    points = values(layer_with(figure, "point", size=22))
    deltas = np.subtract(answers.exported, answers.original)
    assert [p["difference"] for p in points] == pytest.approx(deltas, rel=1e-3, abs=1e-12)
    assert sum("changed" in p for p in points) == sum(answers.flipped) == 2
    assert figure.caption.endswith("2 of 304 decisions changed.")
    low, high = layer_with(figure, "point", size=22)["encoding"]["y"]["scale"]["domain"]
    assert low < min(deltas) and max(deltas) < high


def test_a_chart_of_differences_shows_the_threshold(draw_report, drawn):
    figure = score_charts.difference_charts(draw_report())[0]
    rules = [values(each) for each in layers_of(figure) if mark_of(each)["type"] == "rule"]
    assert [rule[0]["at"] for rule in rules] == [0.42, 0]
    figure = score_charts.difference_charts(drawn.many_labels(draw_report()))[0]
    assert [m["type"] for m in map(mark_of, layers_of(figure))].count("rule") == 1


def test_the_roc_has_the_area_of_the_metrics_module(draw_report):
    report = draw_report()
    figure = truth_charts.truth_charts(report)[0]
    lines = layer_with(figure, "line", strokeWidth=1.6)
    names = list(dict.fromkeys(point["series"] for point in values(lines)))
    positive = np.asarray(report.truth.positive)
    area = roc_area(positive, np.asarray(report.answers[0].exported))
    assert names[1] == f"{area:.4f} onnx-int8, onnxruntime, 1 thread"
    first = [p for p in values(lines) if p["series"] == names[0]]
    assert (first[0]["x"], first[0]["y"]) == (0, 0)
    assert (first[-1]["x"], first[-1]["y"]) == (1, 1)
    x, y = ([point[axis] for point in first] for axis in "xy")
    original = roc_area(positive, np.asarray(report.answers[0].original))
    assert np.trapezoid(y, x) == pytest.approx(original, abs=1e-3)


def test_corners_keep_the_curve():
    x = np.array([0, 0, 0, 0.5, 1.0])
    y = np.array([0, 0.2, 0.5, 0.75, 1.0])
    assert truth_charts.corners(x, y) == [0, 2, 4]


def test_reliability_counts_the_images_of_the_original(draw_report):
    figure = truth_charts.truth_charts(draw_report())[1]
    counts = [int(each["count"]) for each in values(layer_with(figure, "text"))]
    assert sum(counts) == 304


def test_labelled_images_of_one_class_have_a_reliability_only(draw_report):
    report = draw_report()
    truth = dataclasses.replace(report.truth, positive=(True,) * len(report.truth.positive))
    figures = truth_charts.truth_charts(dataclasses.replace(report, truth=truth))
    assert [figure.name for figure in figures] == ["reliability"]
