"""What ``cxr-edge train`` says of a finished training; the training itself is replaced."""

from __future__ import annotations

import dataclasses
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from cxr_edge.metrics.evaluation import Evaluation

DRAWN = runpy.run_path(str(Path(__file__).parents[1] / "metrics/drawn.py"))


def evaluation(*, is_useless: bool) -> Evaluation:
    (part,) = DRAWN["draw_document"]().parts.values()
    if not is_useless:
        return part
    images = part.data.images
    labels = list(part.by_label)
    support = [part.by_label[label].support for label in labels]
    assert sum(support) == images
    return dataclasses.replace(part, confusion=tuple((0, count) for count in support))


@pytest.fixture
def train(in_process: Any, drawn_data: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call the command with what the training would return, and the recipe it was given."""
    from cxr_edge.train import pipeline

    def call(
        parts: dict[str, Evaluation], *arguments: str, data: Path = drawn_data
    ) -> tuple[Any, Any]:
        given = []

        def pretend(images: Path, out: Path, recipe: Any, **options: Any) -> dict[str, Evaluation]:
            given.append(recipe)
            return parts

        monkeypatch.setattr(pipeline, "train", pretend)
        return in_process("train", data, *arguments), given[0]

    return call


def test_a_model_of_no_use_is_said_loudly_and_is_not_to_be_exported(train: Any) -> None:
    parts = {"validation": evaluation(is_useless=False), "test": evaluation(is_useless=True)}
    result, _ = train(parts)
    assert result.returncode == 0
    reason = parts["test"].why_useless
    assert reason and f"WARNING: test: {reason}" in result.stderr.splitlines()
    assert f"of no use: {reason}" in result.stdout
    assert "this model is not worth exporting" in result.stderr
    assert "next: cxr-edge export" not in result.stderr


@pytest.mark.parametrize("inside", [".", "train", "run"])
def test_a_run_folder_among_the_images_is_refused(in_process, drawn_data, inside) -> None:
    before = sorted(drawn_data.rglob("*"))
    done = in_process("train", drawn_data, "-o", drawn_data / inside)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "lies among the images" in done.stderr
    assert sorted(drawn_data.rglob("*")) == before


def test_a_series_pattern_that_matches_no_file_is_refused_before_the_training(
    in_process: Any, drawn_data: Path
) -> None:
    done = in_process("train", drawn_data, "--series-pattern", "(hospital-[ab])")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--series-pattern matches none of the" in done.stderr
    assert not Path("run").exists()


def test_a_model_of_some_use_is_to_be_exported_next(train: Any) -> None:
    result, recipe = train({"test": evaluation(is_useless=False)}, "--epochs", "3")
    assert result.returncode == 0
    assert "WARNING" not in result.stderr and "of no use" not in result.stdout
    assert result.stderr.splitlines()[-1] == "next: cxr-edge export run"
    assert recipe.epochs == 3


def test_the_block_is_given_back_only_where_that_is_asked_for(train: Any) -> None:
    parts = {"test": evaluation(is_useless=False)}
    assert train(parts)[1].block
    assert train(parts, "--no-block")[1].block is None


def test_a_validation_folder_leaves_no_block(
    train: Any, drawn_data: Path, tmp_path: Path, in_process: Any
) -> None:
    """All of DATA/train is trained on then, and the recipe's name says so."""
    shutil.copytree(drawn_data / "train", tmp_path / "data/train")
    shutil.copytree(drawn_data / "test", tmp_path / "data/val")
    parts = {"validation": evaluation(is_useless=False)}
    assert train(parts, "--use-val-folder", data=tmp_path / "data")[1].block is None
