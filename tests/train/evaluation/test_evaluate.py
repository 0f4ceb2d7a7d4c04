"""A whole evaluation of drawn images: files, page, several models, and what is refused."""

from __future__ import annotations

import dataclasses
import datetime
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cxr_edge.bundle.manifest import NOTICE
from cxr_edge.data.patients import grouping
from cxr_edge.errors import DataError, UsageError
from cxr_edge.metrics.evaluation import (
    Evaluation,
    ModelSource,
    read_evaluation,
    read_seeds,
)
from cxr_edge.preprocess import Pixels
from cxr_edge.report.evaluation.text import report_text, spread_section
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec
from cxr_edge.train.evaluation import baseline as baseline_module
from cxr_edge.train.evaluation import evaluate as evaluate_module
from cxr_edge.train.evaluation import inputs as inputs_module
from cxr_edge.train.evaluation import robustness as robustness_module
from cxr_edge.train.evaluation.evaluate import evaluate_models
from cxr_edge.train.evaluation.inputs import EvaluationOptions
from cxr_edge.train.evaluation.scorers import ScoredModel
from cxr_edge.train.evaluation.shifts import SHIFTS

pytestmark = pytest.mark.slow

EVIL = "<script>alert(1)</script>&\"'"
COMMAND = "cxr-edge evaluate part -o out"
PICTURES = (
    *("confusion", "roc", "roc-corner", "precision-recall", "reliability"),
    *("scores-1", "scores-2"),
)


class Recording(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def bright(called: str = "run", shift: float = 0.0, **changes: Any) -> ScoredModel:
    """A model that answers with the grey level of the middle."""
    spec = dataclasses.replace(
        SEED_SPEC, labels=("dark", "light"), positive_label="light",
        input=InputSpec(height=32, width=32),
    )  # fmt: skip
    spec = dataclasses.replace(spec, **changes)

    def scorer(pixels: Pixels) -> np.ndarray:
        grey = pixels[:, 12:20, 12:20].mean(axis=(1, 2, 3)) / 255
        return np.clip(grey + shift, 0, 1)[:, None].astype(np.float32)

    return ScoredModel(ModelSource(called, called, "a test", spec), scorer)


def draw(root: Path, labels: tuple[str, str], count: int, seed: int, side: int = 40) -> Path:
    """Images of a brighter or darker middle, two a patient."""
    random = np.random.default_rng(seed)
    for index, label in enumerate(labels):
        (root / label).mkdir(parents=True)
        for number in range(count):
            image = random.integers(60, 190, (40, 40), np.uint8)
            image[14:26, 14:26] = np.clip(random.normal(100 + 60 * index, 35), 0, 255)
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
            path = root / label / f"{seed}{index}{number // 2}_{number}.png"
            path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return root


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folders")
    draw(root / "part", ("dark", "light"), 16, seed=1)
    draw(root / "small", ("dark", "light"), 16, seed=1, side=24)
    draw(root / "train", ("dark", "light"), 30, seed=2)
    return root


def asked(folders: Path, out: Path | None, **changes: Any) -> EvaluationOptions:
    whole = EvaluationOptions(
        folders / "part",
        grouping(r"^(\d+)_"),
        out,
        folders / "train",
        True,
        folders / "small",
        COMMAND,
    )
    return dataclasses.replace(whole, **changes)


@pytest.fixture(scope="module")
def done(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    """All that can be asked for; each figure is bootstrapped once, files and page included."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        modules = (evaluate_module, baseline_module, robustness_module)
        calls = [count_calls(patch, module, "compute_figures") for module in modules]
        results = evaluate_models([bright()], asked(folders, out), Silent())
    assert [len(each) for each in calls] == [1, 1, len(SHIFTS)]
    assert results.spread is None
    return out, results.evaluations["run"]


class Page(HTMLParser):
    """Collects tags, attributes, and the text that a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.text += data


def test_everything_that_was_asked_for_is_written(done: tuple[Path, Evaluation]) -> None:
    out, evaluation = done
    pictures = {f"part-{name}.png" for name in (*PICTURES, "shifts", "copies")}
    assert {path.name for path in out.iterdir()} == pictures | {
        "part-gallery",
        *("evaluation.json", "evaluation.html", "part-report.txt", "part-scores.csv"),
    }
    document = read_evaluation(out / "evaluation.json")
    assert document.parts == {"part": evaluation}
    assert document.origin.command == COMMAND
    assert {"cxr-edge", "python", "numpy"} <= set(document.origin.versions)
    created = datetime.datetime.fromisoformat(document.origin.created)
    assert abs(datetime.datetime.now(datetime.UTC) - created) < datetime.timedelta(minutes=10)
    assert (evaluation.data.images, evaluation.data.patients) == (32, 16)
    assert evaluation.baseline and evaluation.copies and evaluation.copies.pairs == 32
    assert evaluation.shifts and list(evaluation.shifts) == list(SHIFTS)
    assert 0.6 < evaluation.accuracy < 1


def test_the_report_says_all_of_it(done: tuple[Path, Evaluation]) -> None:
    out, evaluation = done
    text = (out / "part-report.txt").read_text()
    assert text == report_text(evaluation) + "\n"
    assert evaluation.copies
    for words in (
        "1000 bootstrap samples of the 16 patients",
        "compared with a logistic regression",
        "on shifted images",
        "copies at another resolution: 32 pairs",
        *SHIFTS,
        *(each.name for each in evaluation.copies.changed),
    ):
        assert words in text


def test_the_page_is_whole(done: tuple[Path, Evaluation]) -> None:
    out, evaluation = done
    page = Page((out / "evaluation.html").read_text())
    assert page.open == []
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert evaluation.gallery
    assert len(images) == sum(len(group.entries) for group in evaluation.gallery)
    text = " ".join(page.text.split())
    accuracy = evaluation.figures["accuracy"]
    for words in (
        NOTICE,
        COMMAND,
        "run, run by a test",
        "0.5 on P(light); fixed at 0.5, as in the seed",
        "part: 32 images of 16 patients",
        f"{accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f})",
        "not at the model's threshold",
        *SHIFTS,
    ):
        assert words in text, words


def test_names_are_escaped_wherever_they_stand(tmp_path: Path) -> None:
    label = EVIL.replace("/", "")
    draw(tmp_path / "d", (label, "light"), 6, seed=1)
    first = next((tmp_path / "d" / "light").iterdir())
    first.rename(first.with_name("light\udcff.png"))
    model = bright(EVIL, name=EVIL, threshold_choice=EVIL, labels=(label, "light"))
    out = tmp_path / "out"
    plain = asked(tmp_path, out, data=tmp_path / "d", shifts=False, baseline=None, copies=None)
    evaluate_models([model], plain, Silent())
    text = (out / "evaluation.html").read_text()
    page = Page(text)
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 3  # charts, Vega, our own
    assert page.text.count(EVIL) >= 4 and page.text.count(label) >= 3
    assert "<script>alert" not in text and "<img src=x" not in text
    (table,) = out.glob("*-scores.csv")
    assert "light\\udcff.png" in table.read_text(encoding="utf-8")


def test_what_is_not_asked_for_is_neither_done_nor_mentioned(folders: Path, tmp_path: Path) -> None:
    plain = asked(folders, tmp_path, shifts=False, baseline=None, copies=None)
    (evaluation,) = evaluate_models([bright()], plain, Silent()).evaluations.values()
    assert (evaluation.baseline, evaluation.shifts, evaluation.copies) == (None, None, None)
    text = Page((tmp_path / "evaluation.html").read_text()).text
    assert "baseline" not in text and "resolution" not in text and "hifted" not in text
    assert not list(tmp_path.glob("*-shifts.png"))


def test_a_baseline_that_knows_the_patients_is_called_too_good(folders: Path) -> None:
    reporter = Recording()
    plain = asked(folders, None, shifts=False, copies=None)
    evaluate_models([bright()], plain, reporter)
    assert not reporter.said
    evaluate_models([bright()], dataclasses.replace(plain, baseline=folders / "small"), reporter)
    assert reporter.said == [
        "16 of the 16 evaluated patients are among those that the baseline is fitted on: its "
        "figures are too good"
    ]


def test_three_labels_are_evaluated_too(folders: Path, tmp_path: Path) -> None:
    draw(tmp_path / "d", ("a", "b"), 5, seed=1)
    (tmp_path / "d/c").mkdir()
    for path in list((tmp_path / "d/a").glob("*.png"))[:2]:
        path.rename(tmp_path / "d/c" / path.name)
    spec = ModelSpec("x", InputSpec(32, 32), ("a", "b", "c"), "softmax", None, None, "none")

    def scorer(pixels: Pixels) -> np.ndarray:
        grey = pixels[:, 16, 16, 0].astype(np.float32) / 255
        return np.stack([1 - grey, grey * 0.8, grey * 0.2], axis=1)

    plain = asked(folders, tmp_path / "out", data=tmp_path / "d", baseline=tmp_path / "d")
    plain = dataclasses.replace(plain, copies=tmp_path / "d")
    (found,) = evaluate_models(
        [ScoredModel(ModelSource("x", "x", "a test", spec), scorer)], plain, Silent()
    ).evaluations.values()  # fmt: skip
    assert {"accuracy", "auc", "auc c", "recall c"} <= set(found.figures)
    assert found.copies and found.copies.max_abs_delta == 0
    assert found.baseline and set(found.baseline.comparison.difference) == {"accuracy", "auc"}
    assert (tmp_path / "out/evaluation.html").stat().st_size > 10_000


def test_several_models_get_a_folder_each_and_their_spread(folders: Path, tmp_path: Path) -> None:
    models = [bright(shift=shift) for shift in (0.0, 0.15)]
    plain = asked(folders, tmp_path, shifts=False, baseline=None, copies=None)
    results = evaluate_models(models, plain, Silent())
    assert list(results.evaluations) == ["1-run", "2-run"]
    for run in results.evaluations:
        assert (tmp_path / run / "evaluation.html").is_file()
        assert (tmp_path / run / "evaluation.json").is_file()
    assert results.spread and list(results.spread) == [
        *("accuracy", "auc", "sensitivity", "specificity", "ece")
    ]
    accuracy = results.spread["accuracy"]
    values = [each.accuracy for each in results.evaluations.values()]
    assert list(accuracy.runs.values()) == values and len(set(values)) > 1
    assert accuracy.mean == pytest.approx(statistics.mean(values))
    assert accuracy.standard_deviation == pytest.approx(np.std(values, ddof=1))
    seeds = read_seeds(tmp_path / "seeds.json")
    assert seeds.figures == results.spread
    assert (seeds.data.name, seeds.data.images, list(seeds.models)) == (
        "part",
        32,
        list(results.evaluations),
    )
    sources = [each.model for each in results.evaluations.values()]
    lines = spread_section(sources, results.spread).lines()
    assert "not chance alone" in lines[0]  # nobody knows how these were trained
    assert [line.split()[0] for line in lines[2:]] == [
        "1-run",
        "2-run",
        "mean",
        "standard",
    ]
    assert f"{accuracy.standard_deviation:.4f}" in lines[-1]
    page = Page((tmp_path / "seeds.html").read_text())
    assert page.open == [] and NOTICE in page.text
    assert f"{accuracy.mean:.4f}" in page.text


def test_models_of_other_labels_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    other = bright("other", positive_label="dark")
    with pytest.raises(UsageError, match="other: labels dark, light, positive dark"):
        evaluate_models([bright(), other], asked(tmp_path, None), Silent())


def test_a_wrong_folder_for_the_baseline_is_refused_and_nothing_is_written(
    folders: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="expected the folders dark, light"):
        evaluate_models([bright()], asked(folders, tmp_path, baseline=folders), Silent())
    assert list(tmp_path.iterdir()) == []


def count_calls(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    """Record the first argument of every call of a module's function."""
    calls: list[Any] = []
    original = getattr(module, name)

    def counted(first: Any, *rest: Any, **options: Any) -> Any:
        calls.append(first)
        return original(first, *rest, **options)

    monkeypatch.setattr(module, name, counted)
    return calls


def test_several_models_share_images_copies_baseline_and_bootstrap_samples(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = bright("larger", input=InputSpec(height=40, width=40))
    models = [bright(), larger, bright("other"), bright("last")]
    calls = {
        name: count_calls(monkeypatch, inputs_module, name)
        for name in ("read_folder", "read_copies", "fit_baseline", "resample_labelled")
    }
    evaluate_models(models, asked(folders, None, shifts=False), Silent())
    # Two sizes of input: images and the baseline's, each read once for each size.
    assert len(calls["read_folder"]) == 4
    for name in ("read_copies", "fit_baseline", "resample_labelled"):
        assert len(calls[name]) == 2, name


def test_each_figure_of_several_models_is_bootstrapped_once(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = (evaluate_module, baseline_module, robustness_module)
    calls = [count_calls(monkeypatch, module, "compute_figures") for module in modules]
    models = [bright(), bright("other", labels=("light", "dark"))]
    evaluate_models(models, asked(folders, None), Silent())
    assert [len(each) for each in calls] == [2, 1, 2 * len(SHIFTS)]


def test_a_model_of_another_label_order_gives_the_same_figures(folders: Path) -> None:
    def swapped(pixels: Pixels) -> np.ndarray:
        return 1 - bright().scorer(pixels)

    spec = bright(labels=("light", "dark")).spec
    other = ScoredModel(ModelSource("other", "other", "a test", spec), swapped)
    options = asked(folders, None, shifts=False, copies=None)
    first, second = evaluate_models([bright(), other], options, Silent()).evaluations.values()
    assert second.labels == ("light", "dark")
    assert second.by_label == first.by_label
    assert second.confusion == tuple(row[::-1] for row in first.confusion[::-1])
    for name in ("accuracy", "auc", "sensitivity", "loss"):
        assert second.figures[name].value == pytest.approx(first.figures[name].value), name
    assert first.baseline and second.baseline == first.baseline


def test_an_earlier_evaluation_is_not_written_over(folders: Path, tmp_path: Path) -> None:
    plain = asked(folders, tmp_path, baseline=None, copies=None)
    for name in ("evaluation.json", "seeds.json"):
        (tmp_path / name).write_text("of an earlier one")
        with pytest.raises(UsageError, match="holds an evaluation; choose another output folder"):
            evaluate_models([bright()], plain, Silent())
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_results_do_not_go_among_the_images(folders: Path) -> None:
    with pytest.raises(UsageError, match="lies among the images"):
        evaluate_models([bright()], asked(folders, folders / "part/dark"), Silent())
