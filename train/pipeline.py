"""Training from a data set to a run folder: everything that ``cxr-edge train`` does."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxr_edge import documents
from cxr_edge.bundle.manifest import Provenance
from cxr_edge.data.folders import LabelledImages, read_folder
from cxr_edge.data.patients import Grouping, kermany_series
from cxr_edge.data.samples import dump_samples
from cxr_edge.domain import dump_domain
from cxr_edge.extras import require_keras
from cxr_edge.files import atomic_path, printable, write_file
from cxr_edge.metrics.evaluation import EVALUATION_NAME, Evaluation, ModelSource
from cxr_edge.original.keras_model import keras_scores
from cxr_edge.original.run_folder import (
    CALIBRATION_NAME,
    DOMAIN_NAME,
    MODEL_NAME,
    PROVENANCE_NAME,
    SPEC_NAME,
    VALIDATION_NAME,
)
from cxr_edge.report.documents import draw_page_beside
from cxr_edge.reporting import Reporter
from cxr_edge.train.evaluation.baseline import fit_baseline
from cxr_edge.train.evaluation.evaluate import evaluate_part
from cxr_edge.train.evaluation.inputs import EvaluationInputs, gather_inputs
from cxr_edge.train.evaluation.outputs import make_origin, write_document
from cxr_edge.train.evaluation.scorers import KERAS, ScoredModel
from cxr_edge.train.evaluation.summary import headline
from cxr_edge.train.fitting.calibrate import calibrate
from cxr_edge.train.fitting.checkpoint import load_state, remove_state
from cxr_edge.train.fitting.data import (
    TrainingData,
    calibration_samples,
    counts,
    read_training_data,
    validation_samples,
)
from cxr_edge.train.fitting.domain import fit_domain, survey_files
from cxr_edge.train.fitting.fit import fit_network, identify
from cxr_edge.train.fitting.history import HISTORY_NAME, Epoch, History
from cxr_edge.train.fitting.network import build_network, layer_table
from cxr_edge.train.fitting.targets import Teacher
from cxr_edge.train.pictures import draw_class_counts, draw_history, draw_samples
from cxr_edge.train.recipe import TrainingRecipe, recipe_name
from cxr_edge.train.request import CHECKPOINT_NAME, check_request, open_training_folders

keras = require_keras("train")

LAYERS_NAME = "layers.txt"


def train(
    data: Path,
    out: Path,
    recipe: TrainingRecipe,
    *,
    seed: int,
    group_of: Grouping,
    series_of: Grouping = kermany_series,
    use_val_folder: bool,
    reporter: Reporter,
    about_data: str = "",
    about_limits: str = "",
    positive: str | None = None,
    command: str = "",
    teachers: tuple[Teacher, ...] = (),
) -> dict[str, Evaluation]:
    """Train a network and write its run folder; an interrupted training is resumed.

    Args:
        data: a folder with ``train/`` (and ``test/``), each with a folder for each class; or the
            class folders themselves.
        out: the run folder.
        recipe: every setting.
        seed: of weights, order, augmentation and dropout, and of the split unless the recipe has
            its own.
        group_of: gives each file's patient.
        series_of: gives each file's series, whose accuracy is reported apart; empty: none.
        use_val_folder: validate on all of ``data/val`` instead of on held-out patients.
        reporter: shows messages and progress.
        about_data: source, licence and attribution of the images, for the model card.
        about_limits: intended use and known failures, for the model card.
        positive: the positive label; None: the recipe's.
        command: starts this training again; for ``evaluation.json``.
        teachers: what the recipe's distillation learns from; empty if it has none.

    Returns:
        Figures on ``validation``, on ``block`` if one was held out, and on ``test`` if the recipe
        uses it and the folder exists.

    Raises:
        DataError: the folders are not laid out as expected.
        UsageError: ``out`` holds a finished training, or an unfinished one of another recipe, seed
            or data; the recipe does not fit the labels.
        OutputError: ``out`` cannot be written.
    """
    checkpoint = out / CHECKPOINT_NAME
    recipe = check_request(data, out, recipe, positive=positive, use_val_folder=use_val_folder)
    images = read_training_data(
        data, recipe, seed=seed, group_of=group_of, use_val_folder=use_val_folder, reporter=reporter
    )
    identity = identify(images, recipe, seed, teachers)
    load_state(checkpoint, identity)  # raises before anything is overwritten
    _report_data(images, recipe, out, reporter)
    fitted, epochs = fit_network(
        images, recipe, seed=seed, checkpoint=checkpoint, reporter=reporter, teachers=teachers
    )

    # Without the optimizer, which doubles the file's size.
    network = build_network(recipe.spec, width=recipe.width)
    network.set_weights(fitted.get_weights())
    _write_history(images, recipe, seed, epochs, out)
    results = write_run(
        network,
        data,
        images,
        recipe,
        out,
        seed=seed,
        group_of=group_of,
        series_of=series_of,
        use_val_folder=use_val_folder,
        reporter=reporter,
        about_data=about_data,
        about_limits=about_limits,
        command=command,
        teachers=teachers,
    )
    remove_state(checkpoint)
    return results


def write_run(
    network: Any,
    data: Path,
    images: TrainingData,
    recipe: TrainingRecipe,
    out: Path,
    *,
    seed: int,
    group_of: Grouping,
    series_of: Grouping,
    use_val_folder: bool,
    reporter: Reporter,
    about_data: str,
    about_limits: str,
    command: str,
    teachers: tuple[Teacher, ...] = (),
) -> dict[str, Evaluation]:
    """Calibrate a trained network, evaluate it, and write the run folder.

    ``network`` is a ``keras.Model`` of the recipe's input and labels, and is calibrated in place;
    ``images`` are those that it was trained on and those held out. The rest is as in :func:`train`.
    """
    spec = recipe.spec
    if recipe.target:
        reporter.say("fitting temperature and threshold on validation and its shifted copies")
        spec = calibrate(network, images.held_out, spec, recipe.target)
    with atomic_path(out / MODEL_NAME) as temporary:
        network.save(temporary)
    write_file(out / SPEC_NAME, documents.dump(spec))
    write_file(out / CALIBRATION_NAME, dump_samples(calibration_samples(images, seed)))
    reporter.say("fitting the out-of-domain check")
    files = open_training_folders(data, recipe, use_val_folder=use_val_folder)[0].files
    domain = fit_domain(images.pixels, images.validation.pixels, survey_files(files))
    write_file(out / DOMAIN_NAME, dump_domain(domain))
    write_file(out / VALIDATION_NAME, dump_samples(validation_samples(images)))
    model = ScoredModel(
        ModelSource(out.resolve().name, MODEL_NAME, KERAS, spec, recipe_name(recipe)),
        lambda pixels: keras_scores(network, pixels, spec),
        domain,
    )
    results = _evaluate(images, model, recipe, out, group_of, series_of, command, reporter)
    _write_provenance(images, recipe, seed, teachers, results, out, about_data, about_limits)
    return results


def _report_data(
    images: TrainingData, recipe: TrainingRecipe, out: Path, reporter: Reporter
) -> None:
    """Report the class counts and the table of layers; write them and sample images to ``out``."""
    names = recipe.spec.labels
    parts = {
        "training": counts(images.labels, names),
        "validation": counts(images.validation.labels, names),
        **({"block": counts(images.block.labels, names)} if images.block else {}),
    }
    for part, by_label in parts.items():
        listing = ", ".join(f"{printable(name)} {number:,}" for name, number in by_label.items())
        reporter.say(f"{part}: {listing} images of {images.patients[part]:,} patients")
    if images.test:
        parts["test"] = images.test.counts
    draw_class_counts(out, parts)
    draw_samples(out / "samples.png", images.pixels, images.labels, recipe.spec)
    table = layer_table(build_network(recipe.spec, width=recipe.width))
    write_file(out / LAYERS_NAME, (table + "\n").encode())
    reporter.say(table)


def _write_history(
    images: TrainingData, recipe: TrainingRecipe, seed: int, epochs: tuple[Epoch, ...], out: Path
) -> None:
    history = History(
        recipe=recipe,
        seed=seed,
        train_images=counts(images.labels, recipe.spec.labels),
        validation_images=counts(images.validation.labels, recipe.spec.labels),
        patients=images.patients,
        unreadable=images.unreadable,
        epochs=epochs,
    )
    write_file(out / HISTORY_NAME, documents.dump(history))
    draw_history(out, epochs)


def _evaluate(
    images: TrainingData,
    model: ScoredModel,
    recipe: TrainingRecipe,
    out: Path,
    group_of: Grouping,
    series_of: Grouping,
    command: str,
    reporter: Reporter,
) -> dict[str, Evaluation]:
    spec = model.spec
    baseline = fit_baseline(images.pixels, images.labels, spec)

    def inputs_of(part: str, held: LabelledImages, names: Sequence[str]) -> EvaluationInputs:
        paths = [Path(name) for name in names]
        return gather_inputs(
            part,
            held,
            spec,
            [group_of(path) for path in paths],
            names=names,
            baseline=baseline,
            series=[series_of(path) for path in paths],
        )

    parts = [
        inputs_of(part, LabelledImages(held.pixels, held.labels, (), ()), held.names)
        for part, held in zip(("validation", "block"), images.held_out, strict=False)
    ]
    if images.test:
        test = read_folder(images.test, spec.input, reporter)
        names = [str(path.relative_to(images.test.root)) for path in test.files]
        parts.append(inputs_of("test", test, names))
    shifts = recipe.target is not None
    results = {each.part: evaluate_part(model, each, shifts=shifts, out=out) for each in parts}
    write_document(out, results, make_origin(command, [model.source]))
    draw_page_beside(out / EVALUATION_NAME, reporter)
    return results


def _write_provenance(
    images: TrainingData,
    recipe: TrainingRecipe,
    seed: int,
    teachers: tuple[Teacher, ...],
    results: dict[str, Evaluation],
    out: Path,
    about_data: str,
    about_limits: str,
) -> None:
    provenance = Provenance(
        recipe=recipe_name(recipe),
        seed=seed,
        data=about_data,
        limits=about_limits,
        data_sha256=images.sha256,
        train_images=counts(images.labels, recipe.spec.labels),
        validation=headline(results["validation"]),
        test=headline(results["test"]) if "test" in results else {},
        tools={
            "python": platform.python_version(),
            "keras": keras.__version__,
            "keras backend": keras.backend.backend(),
        },
        teachers=tuple(teacher.sha256 for teacher in teachers),
    )
    write_file(out / PROVENANCE_NAME, documents.dump(provenance))
