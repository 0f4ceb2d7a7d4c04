from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr_edge.benchmark import charts, scores, svg
from cxr_edge.benchmark.pareto import pareto_chart, pareto_front
from cxr_edge.benchmark.report import Layer


def all_charts(report):
    found = [
        pareto_chart(report),
        charts.latency_chart(report),
        charts.end_to_end_chart(report),
        charts.limit_chart(report),
        scores.parity_chart(report),
        *scores.truth_charts(report),
    ]
    found += [charts.operations_chart(row, each, 1) for row, each in report.layers.items()]
    return [chart for chart in found if chart]


def test_every_chart_has_a_title_a_caption_and_axes_with_titles(any_report):
    for chart in all_charts(any_report):
        assert chart.title
        assert chart.caption.endswith(".")
        for drawing in chart.drawings:
            assert drawing.svg.startswith('<svg role="img" aria-label="')
            assert "<text" in drawing.svg
            assert "nan" not in re.sub("<text.*?</text>", "", drawing.svg)


def test_everything_is_drawn_inside(any_report):
    for chart in all_charts(any_report):
        for drawing in chart.drawings:
            width, height = map(float, re.search('viewBox="0 0 (.+?) (.+?)"', drawing.svg).groups())
            for x, y in re.findall('<text x="(.+?)" y="(.+?)"', drawing.svg):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height


def test_nothing_measured_draws_nothing(draw_report, drawn):
    assert all_charts(drawn.nothing_measured(draw_report())) == []


@pytest.mark.parametrize("values", [[3.2], [3.0, 3.1], [0.004, 900.0], [1e-5, 1e5], [0.0, 1.0]])
def test_logarithmic_axes_have_ticks_in_range(values):
    axis = svg.log_axis(values, 50, 400)
    assert 2 <= len(axis.ticks) <= 9
    assert axis.low <= min(axis.ticks) < max(axis.ticks) <= axis.high
    places = [axis.at(value) for value in sorted(values)]
    assert all(50 <= place <= 400 for place in places)
    assert places == sorted(places)


@pytest.mark.parametrize("high", [0.0, 1e-4, 0.3, 1.0, 99.0, 12345.0])
def test_linear_axes_start_at_nothing(high):
    axis = svg.linear_axis(high, 0, 100)
    assert axis.ticks[0] == 0
    assert 2 <= len(axis.ticks) <= 7
    assert axis.at(0) == 0
    assert axis.at(axis.high) == 100


def test_outside_an_axis_is_drawn_at_its_end():
    axis = svg.Axis(1, 10, 0, 100, True, ())
    assert (axis.at(0), axis.at(0.1), axis.at(1e9)) == (0, 0, 100)


@pytest.mark.parametrize("shape", range(svg.SHAPES))
def test_marks_are_equally_large(shape):
    if shape == 0:
        radius = float(re.search(r"a([\d.]+) ", svg.mark(0, 0, 0, 400))[1])
        assert math.pi * radius**2 == pytest.approx(400, rel=0.02)
        return
    pairs = re.findall(r"(-?[\d.]+) (-?[\d.]+)", svg.mark(shape, 0, 0, 400))
    x, y = np.asarray(pairs, float).T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == pytest.approx(400, rel=0.02)


def test_names_are_clipped_to_their_room():
    name = "a name that is much too long for where it has to stand"
    assert svg.clip(name, 1e4) == name
    assert svg.clip(name, 100).endswith("…")
    assert svg.text_width(svg.clip(name, 100)) <= 100
    assert svg.clip(name, 0) == "…"


def test_the_pareto_front_is_what_nothing_beats():
    costs = [(3, 1), (1, 3), (2, 2), (2, 3), (3, 3), (1, 4), (4, 1)]
    assert [costs[place] for place in pareto_front(costs)] == [(1, 3), (2, 2), (3, 1)]
    assert pareto_front([]) == []


def test_flips_are_marked_otherwise(draw_report, drawn):
    def drawing(flips):
        row = drawn.draw_row(0)
        parity = dataclasses.replace(row.parity, flips=flips)
        report = draw_report(rows=(dataclasses.replace(row, parity=parity),))
        return pareto_chart(report).drawings[0].svg

    assert 'class="c0 fill seen"' in drawing(0)
    assert 'class="c0 hollow"' in drawing(3)
    assert "3 flips" in drawing(3)


def test_no_difference_lies_on_the_floor(draw_report, drawn):
    report = draw_report(rows=(drawn.draw_row(5), drawn.draw_row(0)))
    assert "≤1e-7" in pareto_chart(report).drawings[0].svg


def test_rows_without_a_comparison_are_not_in_the_pareto_chart(draw_report, drawn):
    chart = pareto_chart(draw_report())
    names = [text for _, text in chart.legend]
    assert f"p50 of {drawn.KERAS}" in names
    assert drawn.KERAS not in names


def test_samples_at_one_place_are_drawn_once(draw_report, drawn):
    row = drawn.draw_row(0)
    latency = dataclasses.replace(row.latency, samples_ms=(3.0,) * 5000 + (4.0,))
    report = draw_report(rows=(dataclasses.replace(row, latency=latency),))
    assert charts.latency_chart(report).drawings[0].svg.count("v6") == 2


def test_a_row_may_have_no_samples(draw_report, drawn):
    row = drawn.draw_row(0)
    latency = dataclasses.replace(row.latency, samples_ms=())
    report = draw_report(rows=(dataclasses.replace(row, latency=latency),))
    assert "p50 3.21" in charts.latency_chart(report).drawings[0].svg


def test_the_slowest_operations_come_first():
    layers = [Layer(f"operation {n}", float(n), n / 210) for n in range(1, 21)]
    chart = charts.operations_chart("row", layers, 1)
    drawn = re.findall(r">(operation \d+)</text>", chart.drawings[0].svg)
    assert drawn == [f"operation {n}" for n in range(20, 20 - charts.MOST_OPERATIONS, -1)]


def test_end_to_end_bars_are_as_long_as_their_steps(draw_report, drawn):
    report = draw_report(rows=(drawn.draw_row(0),))
    drawing = charts.end_to_end_chart(report).drawings[0].svg
    widths = [float(w) for w in re.findall(r'<rect class="c. fill" .*?width="(.+?)"', drawing)]
    spent = [0.12, 5.2, 1.4, 3.21, 0.31]
    assert np.asarray(widths[1:4]) / widths[1] == pytest.approx(
        np.asarray(spent[1:4]) / spent[1], rel=0.02
    )


def test_the_roc_is_scikit_learn_s():
    random = np.random.default_rng(5)
    positive = random.random(200) < 0.4
    ranks = np.round(random.normal(positive, 1.0), 1)  # with ties
    found = scores.roc(ranks, positive)
    assert found.auc == pytest.approx(roc_auc_score(positive, ranks), abs=1e-12)
    assert (found.false_positives[0], found.true_positives[0]) == (0, 0)
    assert (found.false_positives[-1], found.true_positives[-1]) == (1, 1)


def test_one_class_has_no_roc():
    assert scores.roc(np.array([0.1, 0.9]), np.array([True, True])) is None
    assert scores.roc(np.array([0.1, 0.9]), np.array([False, False])) is None


def test_reliability_counts_every_image_once():
    values = np.array([0.0, 0.05, 0.1, 0.95, 1.0])
    found = scores.reliability(values, np.array([False, True, False, True, True]))
    assert found.place.tolist() == [0, 1, 9]
    assert found.count.tolist() == [2, 1, 2]
    assert found.share.tolist() == [0.5, 0, 1]
    assert found.score == pytest.approx([0.025, 0.1, 0.975])


def test_labelled_images_of_one_class_have_a_reliability_only(draw_report):
    report = draw_report()
    truth = dataclasses.replace(report.truth, positive=(True,) * len(report.truth.positive))
    names = [c.name for c in scores.truth_charts(dataclasses.replace(report, truth=truth))]
    assert names == ["reliability"]
