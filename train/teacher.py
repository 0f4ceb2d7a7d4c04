"""Teachers of a distillation: any Keras classifiers, and the recipe of a student that fits them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxr_edge.bundle.bundled import find_folder
from cxr_edge.bundle.manifest import MANIFEST_NAME
from cxr_edge.bundle.reader import Bundle
from cxr_edge.data.folders import open_folder, training_folder
from cxr_edge.decision import Scores
from cxr_edge.errors import ModelError, UsageError
from cxr_edge.files import printable, sha256
from cxr_edge.original.keras_model import load_keras
from cxr_edge.original.opening import load_original
from cxr_edge.original.run_folder import SPEC_NAME, open_run
from cxr_edge.preprocess import Batch
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec
from cxr_edge.train.fitting.targets import Teacher
from cxr_edge.train.recipe import COMPACT, TrainingRecipe

THE_REFERENCE = "the bundled reference"


def teacher_spec(source: Path | None) -> ModelSpec:
    """Read a teacher's spec, without Keras.

    Args:
        source: a run folder, a Keras model with its ``spec.json``, or a bundle; None: the bundled
            reference.

    Raises:
        ModelError: there is no model or spec, or the spec is malformed.
        BundleError: the bundle is malformed.
    """
    if source is None or _is_bundle(source):
        return Bundle.open(source).manifest.spec
    if not source.exists():
        raise ModelError(
            f"{printable(source)}: no such file or folder; expected a run folder, a Keras model "
            "with its spec.json, a bundle, reference or compact (--teacher)"
        )
    if source.is_file() and not (beside := source.parent / SPEC_NAME).exists():
        raise ModelError(
            f"{printable(beside)}: no such file; a teacher needs its spec beside it: write it with "
            f"'cxr-edge spec {printable(source)} -o {printable(beside)}'"
        )
    return open_run(source).spec


def teacher_name(source: Path | None) -> str:
    """What messages call a teacher."""
    return THE_REFERENCE if source is None else printable(source)


def teachers_spec(sources: Sequence[Path | None]) -> ModelSpec:
    """Read the spec of several teachers, without Keras; the first one's.

    Args:
        sources: at least one, each as for :func:`teacher_spec`.

    Raises:
        ModelError: as :func:`teacher_spec`.
        BundleError: a bundle is malformed.
        UsageError: their inputs, labels or outputs differ.
    """
    first, *others = (teacher_spec(source) for source in sources)
    for source, spec in zip(sources[1:], others, strict=True):
        if (spec.input, spec.labels, spec.outputs) != (first.input, first.labels, first.outputs):
            raise UsageError(
                f"{teacher_name(source)}: its input, labels or output differ from those of "
                f"{teacher_name(sources[0])}; teachers of one student must have the same"
            )
    return first


def load_teacher(source: Path | None, reporter: Reporter) -> Teacher:
    """Load a teacher.

    Raises:
        ModelError: there is no model or spec, or they do not fit.
        BundleError: the bundle is malformed, or its model has changed.
        MissingExtraError: Keras is not installed.
    """
    name = teacher_name(source)
    if source is None or _is_bundle(source):
        bundle = Bundle.open(source)
        spec, data = bundle.manifest.spec, bundle.read(bundle.manifest.keras)
        model = load_keras(data, spec, name=name)
    else:
        run = open_run(source)
        original = load_original(run.model, run.spec, reporter=reporter)
        model, spec, data = original.model, original.spec, original.data

    def scores(batch: Batch) -> Scores:
        # predict_on_batch compiles the forward pass, which calling the model does not.
        return np.asarray(model.predict_on_batch(batch), np.float32)

    return Teacher(name, sha256(data), spec, scores)


def for_teacher(recipe: TrainingRecipe, spec: ModelSpec, name: str, data: Path) -> TrainingRecipe:
    """Adapt a recipe to its teacher: the student has the teacher's input and labels.

    Args:
        recipe: any recipe; one without ``distillation`` gets the compact recipe's.
        spec: the teacher's.
        name: what messages call the teacher.
        data: the folder to train on.

    Raises:
        UsageError: the class folders are not the teacher's labels.
        DataError: the folder is not laid out as expected.
    """
    folder = open_folder(training_folder(data))
    if set(folder.labels) != set(spec.labels):
        raise UsageError(
            f"{printable(folder.root)}: has folders {', '.join(folder.labels)}, but the teacher, "
            f"{name}, knows {', '.join(spec.labels)}; name another with --teacher"
        )
    has_threshold = len(spec.labels) == 2
    same_labels = set(spec.labels) == set(recipe.spec.labels)
    student = dataclasses.replace(
        recipe.spec,
        name=recipe.spec.name
        if same_labels
        else f"{spec.name[:150].rstrip()}, {recipe.name} recipe",
        input=spec.input,
        labels=spec.labels,
        activation="sigmoid" if has_threshold else "softmax",
        positive_label=spec.positive_label,
        threshold=0.5 if has_threshold else None,
        threshold_choice="fixed at 0.5, before calibration" if has_threshold else "",
    )
    taught = dataclasses.replace(recipe, spec=student)
    if taught.distillation:
        return taught
    # A teacher's scores hold its doubts already: smoothing would blur them.
    return dataclasses.replace(taught, distillation=COMPACT.distillation, label_smoothing=0.0)


def _is_bundle(source: Path) -> bool:
    return (find_folder(source) / MANIFEST_NAME).is_file()
