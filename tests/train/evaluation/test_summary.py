"""The figures, against numbers computed by hand."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from cxr_edge import documents
from cxr_edge.errors import EngineError, UsageError
from cxr_edge.extras import require_keras
from cxr_edge.metrics import roc_curve
from cxr_edge.metrics.evaluation import Evaluation, ImageSource, ModelSource
from cxr_edge.report.evaluation.text import report_text
from cxr_edge.spec import SEED_SPEC, ModelSpec
from cxr_edge.train.evaluation.figures import compute_figures, resample_labelled
from cxr_edge.train.evaluation.scored import Scored, binary
from cxr_edge.train.evaluation.summary import headline, summarize

SICK, WELL = 0, 1
# The sigmoid says P(NORMAL): the sick should answer low.
ANSWERS = (
    (SICK, 0.10),
    (SICK, 0.20),
    (SICK, 0.50),  # P(PNEUMONIA) is the threshold exactly: called PNEUMONIA
    (SICK, 0.90),  # missed
    (WELL, 0.80),
    (WELL, 0.70),
    (WELL, 0.30),  # false alarm
    (WELL, 0.95),
    (WELL, 0.90),
)
THREE = ModelSpec(
    name="three",
    input=SEED_SPEC.input,
    labels=("cat", "dog", "a very long label"),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="none",
)
THREE_SCORES = (
    (0, (0.7, 0.2, 0.1)),
    (0, (0.3, 0.6, 0.1)),
    (0, (0.5, 0.1, 0.4)),
    (1, (0.2, 0.7, 0.1)),
    (1, (0.1, 0.5, 0.4)),
    (2, (0.2, 0.2, 0.6)),
    (2, (0.6, 0.3, 0.1)),
    (2, (0.0, 0.1, 0.9)),
)


def score(rows: tuple[tuple[int, float | tuple[float, ...]], ...], spec: ModelSpec) -> Scored:
    labels = np.asarray([label for label, _ in rows], np.intp)
    scores = np.asarray([answer for _, answer in rows], np.float32)
    return Scored.from_scores(scores.reshape(len(rows), -1), labels, spec)


def evaluate(
    scored: Scored, spec: ModelSpec, *, patients: Sequence[str] = (), unreadable: int = 0
) -> Evaluation:
    resamples = resample_labelled(scored.labels, patients)
    figures = compute_figures(scored, spec, resamples)
    data = ImageSource("test", len(scored.labels), resamples.patients, unreadable, 1000)
    model = ModelSource("run", "model.keras", "Keras", spec)
    return summarize(scored, figures, resamples, model=model, data=data)


def two(threshold: float = 0.5, unreadable: int = 0) -> Evaluation:
    spec = dataclasses.replace(SEED_SPEC, threshold=threshold)
    return evaluate(score(ANSWERS, spec), spec, unreadable=unreadable)


def three() -> Evaluation:
    return evaluate(score(THREE_SCORES, THREE), THREE)


def share_of_ordered_pairs(positive: list[float], negative: list[float]) -> float:
    """What the area under a ROC curve means: how often a positive outranks a negative."""
    pairs = list(itertools.product(positive, negative))
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def test_the_confusion_matrix_counts_true_labels_by_decision() -> None:
    assert two().confusion == ((3, 1), (1, 4))


def test_the_figures_of_two_labels_are_those_computed_by_hand() -> None:
    figures = two()
    assert (figures.data.images, figures.data.unreadable, figures.threshold) == (9, 0, 0.5)
    assert figures.accuracy == pytest.approx(7 / 9)
    sick, well = figures.by_label["PNEUMONIA"], figures.by_label["NORMAL"]
    assert (sick.precision, sick.recall, sick.f1) == pytest.approx((3 / 4, 3 / 4, 3 / 4))
    assert (well.precision, well.recall, well.f1) == pytest.approx((4 / 5, 4 / 5, 4 / 5))
    assert (sick.support, well.support) == (4, 5)
    # Of 20 pairs the sick .90 loses three and ties with .90, the sick .50 loses one, to .30.
    assert figures.auc == pytest.approx((20 - 3 - 0.5 - 1) / 20)
    right = (0.9, 0.8, 0.5, 0.1, 0.8, 0.7, 0.3, 0.95, 0.9)
    assert figures.loss == pytest.approx(-sum(map(math.log, right)) / 9, rel=1e-6)


def test_the_threshold_moves_decisions_but_not_the_ranking() -> None:
    figures = two(threshold=0.75)
    assert figures.confusion == ((2, 2), (0, 5))
    assert figures.auc == two().auc
    assert figures.loss == two().loss


def test_a_label_that_is_never_decided_has_no_precision_and_no_warning() -> None:
    figures = two(threshold=1.0)
    assert figures.confusion == ((0, 4), (0, 5))
    sick = figures.by_label["PNEUMONIA"]
    assert (sick.precision, sick.recall, sick.f1) == (0, 0, 0)


def test_the_figures_of_three_labels_are_those_computed_by_hand() -> None:
    figures = three()
    assert figures.confusion == ((2, 1, 0), (0, 2, 0), (1, 0, 2))
    assert figures.accuracy == pytest.approx(6 / 8)
    assert figures.threshold is None
    cat, dog, long = figures.by_label.values()
    assert (cat.precision, cat.recall, cat.support) == (
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        3,
    )
    assert (dog.precision, dog.recall, dog.support) == (pytest.approx(2 / 3), 1, 2)
    assert (long.precision, long.recall, long.support) == (1, pytest.approx(2 / 3), 3)
    assert dog.f1 == pytest.approx(0.8)
    right = (0.7, 0.3, 0.5, 0.7, 0.5, 0.6, 0.1, 0.9)
    assert figures.loss == pytest.approx(-sum(map(math.log, right)) / 8, rel=1e-6)
    areas = [
        share_of_ordered_pairs(
            [answer[k] for label, answer in THREE_SCORES if label == k],
            [answer[k] for label, answer in THREE_SCORES if label != k],
        )
        for k in range(3)
    ]
    assert figures.auc == pytest.approx(sum(areas) / 3)


def test_the_loss_is_what_keras_prints() -> None:
    keras = require_keras("train")
    random = np.random.default_rng(0)
    unsure = random.random(50).astype(np.float32), random.integers(0, 2, 50)
    # float32 rounds Keras' 1 - 1e-7 to 1 - 1.2e-7: 15.9 nats instead of 16.1 for a sure mistake.
    sure = np.asarray([0, 1, 0, 1, 1e-9, 1], np.float32), np.asarray([0, 0, 1, 1, 1, 1])
    for (scores, labels), tolerance in ((unsure, 1e-6), (sure, 0.012)):
        ours = evaluate(Scored.from_scores(scores[:, None], labels, SEED_SPEC), SEED_SPEC).loss
        theirs = keras.losses.binary_crossentropy(labels.astype(np.float32), scores)
        assert ours == pytest.approx(float(keras.ops.convert_to_numpy(theirs)), rel=tolerance)


@pytest.mark.parametrize("answer", [math.nan, 1.5, -0.2])
def test_an_answer_that_is_no_probability_is_refused(answer: float) -> None:
    with pytest.raises(EngineError):
        score(((SICK, 0.2), (WELL, answer)), SEED_SPEC)


def test_the_roc_curve_runs_from_corner_to_corner_and_encloses_the_auc() -> None:
    curve = roc_curve(*binary(score(ANSWERS, SEED_SPEC), SEED_SPEC))
    false_rate, true_rate = curve.false_positive_rate, curve.true_positive_rate
    assert (false_rate[0], true_rate[0]) == (0, 0)
    assert (false_rate[-1], true_rate[-1]) == (1, 1)
    assert np.trapezoid(true_rate, false_rate) == pytest.approx(two().auc)


def right_edges(line: str) -> npt.NDArray[np.intp]:
    """Where the words of a line end."""
    ends = [i for i, c in enumerate(line) if c != " " and line[i + 1 : i + 2] in ("", " ")]
    return np.asarray(ends)


@pytest.mark.parametrize("evaluation", [two(), three()], ids=["two labels", "three labels"])
def test_the_report_holds_every_figure_under_its_heading(evaluation: Evaluation) -> None:
    head, blank, *lines = report_text(evaluation).splitlines()
    name = evaluation.model.spec.name
    assert (head, blank) == (f"{name}; model.keras of run, run by Keras", "")
    count = len(evaluation.by_label)
    assert lines[0].split() == ["precision", "recall", "f1", "images"]
    for line, (name, figures) in zip(lines[1:], evaluation.by_label.items(), strict=False):
        values = (figures.precision, figures.recall, figures.f1)
        assert line.startswith(name)
        cells = line.removeprefix(name).split()
        assert cells == [*(f"{value:.4f}" for value in values), str(figures.support)]
        np.testing.assert_array_equal(right_edges(line)[-4:], right_edges(lines[0]))
    heading = lines[count + 2]
    for row, name in enumerate(evaluation.by_label):
        line = lines[count + 3 + row]
        assert line.startswith(name)
        cells = line.removeprefix(name).split()
        assert cells == [str(number) for number in evaluation.confusion[row]]
        for label, edge in zip(evaluation.by_label, right_edges(line)[-count:], strict=True):
            assert heading[: edge + 1].endswith(label)
    (summary,) = (line for line in lines if line.startswith("images "))
    assert summary.split() == [
        *("images", str(evaluation.data.images)),
        *("accuracy", f"{evaluation.accuracy:.4f}"),
        *("AUC", f"{evaluation.auc:.4f}", "loss", f"{evaluation.loss:.4f}"),
    ]
    for name, found in evaluation.figures.items():
        (line,) = (line for line in lines if line.startswith(f"{name}  "))
        shown = f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
        assert line.removeprefix(name).strip().startswith(shown)


def test_the_report_says_what_was_not_counted() -> None:
    assert "unreadable" not in report_text(two())
    assert "\n3 unreadable files are not counted\n" in report_text(two(unreadable=3))


def test_the_headline_quotes_images_accuracy_area_loss_recalls_and_ends_of_intervals() -> None:
    figures = two()
    quoted = headline(figures)
    assert quoted | {
        "images": 9,
        "accuracy": 0.7778,
        "auc": round(figures.auc, 4),
        "loss": round(figures.loss, 4),
        "recall PNEUMONIA": 0.75,
        "recall NORMAL": 0.8,
    } == quoted  # fmt: skip
    for name in ("accuracy", "auc", "sensitivity", "specificity"):
        found = figures.figures[name]
        ends = quoted[f"{name} low"], quoted[f"{name} high"]
        assert ends == (round(found.low, 4), round(found.high, 4))
        assert ends[0] < found.value < ends[1]
    assert len(quoted) == 6 + 8


def test_the_intervals_hold_the_figures_themselves() -> None:
    figures = two()
    values = {name: found.value for name, found in figures.figures.items()}
    assert values["accuracy"] == figures.accuracy
    assert values["auc"] == figures.auc
    assert values["loss"] == figures.loss
    assert values["sensitivity"] == figures.by_label["PNEUMONIA"].recall
    assert values["specificity"] == figures.by_label["NORMAL"].recall
    assert values["precision"] == figures.by_label["PNEUMONIA"].precision
    assert values["f1"] == pytest.approx(figures.by_label["PNEUMONIA"].f1)
    many = three()
    assert many.figures["recall dog"].value == many.by_label["dog"].recall == 1
    assert many.figures["recall dog"].low == pytest.approx(0.025 ** (1 / 2))


def test_images_of_one_patient_make_the_intervals_wider() -> None:
    scored = score(ANSWERS * 8, SEED_SPEC)
    apart = evaluate(scored, SEED_SPEC)
    patients = [f"{i % len(ANSWERS)}" for i in range(len(ANSWERS) * 8)]
    together = evaluate(scored, SEED_SPEC, patients=patients)
    assert (apart.data.patients, together.data.patients) == (72, 9)
    for name in ("accuracy", "auc", "sensitivity", "specificity", "brier"):
        narrow, wide = apart.figures[name], together.figures[name]
        assert narrow.value == wide.value
        assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)


def test_an_evaluation_survives_its_document() -> None:
    for evaluation in (two(), three()):
        data = documents.dump(evaluation)
        assert documents.parse(data, Evaluation, name="x", error=UsageError) == evaluation


def test_a_figure_that_no_sample_changes_claims_no_certainty() -> None:
    perfect = ((SICK, 0.1), (SICK, 0.2), (WELL, 0.8), (WELL, 0.9))
    figures = evaluate(score(perfect, SEED_SPEC), SEED_SPEC)
    lines = {line.split()[0]: line for line in report_text(figures).splitlines() if line}
    assert lines["auc"].endswith("1.000 (the same in every sample)")
    assert lines["sensitivity"].endswith("1.000 (0.158 to 1.000)")  # Clopper-Pearson, 2 of 2
