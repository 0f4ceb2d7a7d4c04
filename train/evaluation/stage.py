"""An evaluation as one call, for Python and for ``cxr-edge evaluate``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_edge.device.machine import check_threads
from cxr_edge.errors import UsageError
from cxr_edge.files import PathLike, optional_path
from cxr_edge.reporting import Reporter, Silent

if TYPE_CHECKING:
    from cxr_edge.train.evaluation.evaluate import EvaluationResults
    from cxr_edge.train.evaluation.scorers import ScoredModel


def evaluate_model(
    data: PathLike,
    model: PathLike | Sequence[PathLike] | None = None,
    *,
    spec: PathLike | None = None,
    bundle: PathLike | None = None,
    artifact: str | None = None,
    engine: str | None = None,
    threads: int = 1,
    baseline: PathLike | None = None,
    shifts: bool = True,
    copies: PathLike | None = None,
    patient_pattern: str | None = None,
    series_pattern: str | None = None,
    out: PathLike | None = None,
    command: str = "cxr_edge.evaluate_model, called from Python",
    reporter: Reporter | None = None,
) -> EvaluationResults:
    """Score labelled images with Keras or an exported file, and measure how often it is right.

    Images that cannot be read are left out and counted in ``Evaluation.data.unreadable``.

    Args:
        data: folder with a folder for each class.
        model: a run folder or Keras model, run by Keras; or several, to compare seeds. None: a
            file of ``bundle``.
        spec: the spec of a Keras model; None: ``spec.json`` beside it.
        bundle: folder of an export; None: the bundled reference.
        artifact: model file of the bundle, for example ``onnx-int8``; None: the first that runs
            here.
        engine: ``onnxruntime``, ``litert``, ``openvino`` or ``ncnn``; None: the first installed one
            that the file was checked on.
        threads: threads for one inference of an exported file, at most the CPUs that this process
            may use.
        baseline: folder of classes to fit the brightness and sharpness baseline on; None: no
            baseline.
        shifts: score blurred, darker, noisier … versions of the images too.
        copies: the same images, under the same names, at another resolution; None: there are none.
        patient_pattern: regular expression searched in each file name; its groups identify the
            patient. None: Kermany's file names; any other file is a patient of its own.
        series_pattern: regular expression searched in each file name; its groups name the series
            whose accuracy is reported apart. None: the numberings of Kermany's file names.
        out: folder for page, JSON, charts, gallery and scores; None: nothing is written.
        command: what the documents in ``out`` say that they were made by.
        reporter: shows messages and progress; None: nothing is shown.

    Returns:
        An evaluation for each model by name, and their spread if there are several.

    Raises:
        UsageError: an argument is wrong, ``out`` holds an evaluation, or a folder of images is not
            laid out as expected (:class:`DataError`).
        ModelError: the model, its spec or the bundle cannot be used.
        MissingExtraError: Keras, an engine, or scikit-learn for ``baseline`` is not installed.
        OutputError: ``out`` cannot be written.
    """
    from cxr_edge.data.patients import grouping, series_grouping
    from cxr_edge.extras import require_installed
    from cxr_edge.files import check_writable
    from cxr_edge.train.evaluation.evaluate import evaluate_models
    from cxr_edge.train.evaluation.inputs import EvaluationOptions, check_output

    originals = [Path(path) for path in _as_list(model)]
    if originals and (bundle or artifact or engine or threads > 1):
        raise UsageError(
            "--model is run by Keras: leave out --bundle, --artifact, --engine and --threads"
        )
    if spec and not originals:
        raise UsageError("--spec describes a .keras file: name it with --model")
    if threads < 1:
        raise UsageError(f"--threads is {threads}, expected at least 1")
    check_threads(threads)
    options = EvaluationOptions(
        Path(data),
        grouping(patient_pattern),
        out=optional_path(out),
        baseline=optional_path(baseline),
        shifts=shifts,
        copies=optional_path(copies),
        command=command,
        series_of=series_grouping(series_pattern),
        series_are_named=series_pattern is not None,
    )
    check_output(options)
    if options.out:
        check_writable(options.out)
    if options.baseline:
        require_installed(["sklearn"], "evaluate", user="cxr-edge evaluate --baseline")
    if originals:
        models = _keras_models(originals, optional_path(spec), options.data)
    else:
        from cxr_edge.train.evaluation.scorers import exported_model

        models = [exported_model(optional_path(bundle), artifact, engine, threads)]
    return evaluate_models(models, options, reporter or Silent())


def _as_list(model: PathLike | Sequence[PathLike] | None) -> Sequence[PathLike]:
    if model is None:
        return ()
    return [model] if isinstance(model, str | os.PathLike) else model


def _keras_models(paths: list[Path], spec: Path | None, data: Path) -> list[ScoredModel]:
    """Load models; what is wrong with their files or the images' folders is found before Keras."""
    from cxr_edge.data.folders import open_folder
    from cxr_edge.extras import check_keras
    from cxr_edge.original.run_folder import open_run

    runs = [open_run(path, spec) for path in paths]
    open_folder(data, runs[0].spec.labels)
    check_keras(user="cxr-edge evaluate --model", extra="train")
    from cxr_edge.train.evaluation.scorers import keras_model

    return [keras_model(path, spec) for path in paths]
