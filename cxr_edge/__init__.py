"""Export a Keras image classifier to a small device and check that it decides the same there.

Research software, not a medical device.

>>> from cxr_edge import Classifier
>>> classifier = Classifier.load()

Each stage is one function too: :func:`train_model`, :func:`evaluate_model`, :func:`infer_spec`,
:func:`predict_archive`, :func:`export_model`, :func:`verify_bundle`, :func:`tune_bundle`,
:func:`benchmark_bundle`, :func:`install_bundle`, :func:`rollback_bundle`. They need what their
commands need; see ``docs/python.md``.

Names are imported on first use, so that ``import cxr_edge`` is fast.
"""

from __future__ import annotations

import importlib

# typing takes 5 ms, in which Ctrl-C still ends the command line with a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from cxr_edge.archive.request import ArchiveResult
    from cxr_edge.archive.stage import predict_archive
    from cxr_edge.benchmark.stage import BenchmarkResult, benchmark_bundle
    from cxr_edge.benchmark.tuning import TuningResult, tune_bundle
    from cxr_edge.bundle.inventory import InstalledBundle, list_bundles
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.bundle.upgrade import BundleChange, install_bundle, rollback_bundle
    from cxr_edge.bundle.verify import Verdict, verify_bundle
    from cxr_edge.classifier import Classifier
    from cxr_edge.errors import (
        BenchmarkError,
        BundleError,
        CxrEdgeError,
        DataError,
        EngineError,
        ExportError,
        ImageError,
        LeftOut,
        MissingExtraError,
        ModelError,
        NoHeatmap,
        OutputError,
        ParityError,
        ProfileError,
        SpecError,
        StoreError,
        UsageError,
    )
    from cxr_edge.export.stage import ExportResult, export_model
    from cxr_edge.image import ImageLimits
    from cxr_edge.original.infer import InferredSpec
    from cxr_edge.original.specify import infer_spec
    from cxr_edge.results import Explanation, Failure, Prediction
    from cxr_edge.spec import InputSpec, ModelSpec
    from cxr_edge.train.evaluation.evaluate import EvaluationResults
    from cxr_edge.train.evaluation.stage import evaluate_model
    from cxr_edge.train.stage import TrainingResult, train_model

__version__ = "0.1.0"

_MODULES = {
    "ArchiveResult": "archive.request",
    "BenchmarkError": "errors",
    "BenchmarkResult": "benchmark.stage",
    "Bundle": "bundle.reader",
    "BundleChange": "bundle.upgrade",
    "BundleError": "errors",
    "Classifier": "classifier",
    "CxrEdgeError": "errors",
    "DataError": "errors",
    "EngineError": "errors",
    "EvaluationResults": "train.evaluation.evaluate",
    "Explanation": "results",
    "ExportError": "errors",
    "ExportResult": "export.stage",
    "Failure": "results",
    "ImageError": "errors",
    "ImageLimits": "image",
    "InferredSpec": "original.infer",
    "InputSpec": "spec",
    "InstalledBundle": "bundle.inventory",
    "LeftOut": "errors",
    "MissingExtraError": "errors",
    "ModelError": "errors",
    "NoHeatmap": "errors",
    "ModelSpec": "spec",
    "OutputError": "errors",
    "ParityError": "errors",
    "Prediction": "results",
    "ProfileError": "errors",
    "SpecError": "errors",
    "StoreError": "errors",
    "TrainingResult": "train.stage",
    "TuningResult": "benchmark.tuning",
    "UsageError": "errors",
    "Verdict": "bundle.verify",
    "benchmark_bundle": "benchmark.stage",
    "evaluate_model": "train.evaluation.stage",
    "export_model": "export.stage",
    "infer_spec": "original.specify",
    "install_bundle": "bundle.upgrade",
    "list_bundles": "bundle.inventory",
    "predict_archive": "archive.stage",
    "rollback_bundle": "bundle.upgrade",
    "train_model": "train.stage",
    "tune_bundle": "benchmark.tuning",
    "verify_bundle": "bundle.verify",
}

__all__ = [
    "ArchiveResult",
    "BenchmarkError",
    "BenchmarkResult",
    "Bundle",
    "BundleChange",
    "BundleError",
    "Classifier",
    "CxrEdgeError",
    "DataError",
    "EngineError",
    "EvaluationResults",
    "Explanation",
    "ExportError",
    "ExportResult",
    "Failure",
    "ImageError",
    "ImageLimits",
    "InferredSpec",
    "InputSpec",
    "InstalledBundle",
    "LeftOut",
    "MissingExtraError",
    "ModelError",
    "ModelSpec",
    "NoHeatmap",
    "OutputError",
    "ParityError",
    "Prediction",
    "ProfileError",
    "SpecError",
    "StoreError",
    "TrainingResult",
    "TuningResult",
    "UsageError",
    "Verdict",
    "benchmark_bundle",
    "evaluate_model",
    "export_model",
    "infer_spec",
    "install_bundle",
    "list_bundles",
    "predict_archive",
    "rollback_bundle",
    "train_model",
    "tune_bundle",
    "verify_bundle",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
