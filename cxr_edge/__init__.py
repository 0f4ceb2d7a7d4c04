"""Export a Keras image classifier to a small device and check that it decides the same there.

Research software, not a medical device.

>>> from cxr_edge import Classifier
>>> classifier = Classifier.load()

Names are imported on first use, so that ``import cxr_edge`` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.classifier import Classifier
    from cxr_edge.errors import (
        BenchmarkError,
        BundleError,
        CxrEdgeError,
        DataError,
        EngineError,
        ExportError,
        ImageError,
        MissingExtraError,
        ModelError,
        OutputError,
        ParityError,
        ProfileError,
        SpecError,
        UsageError,
    )
    from cxr_edge.image import ImageLimits
    from cxr_edge.results import Explanation, Failure, Prediction
    from cxr_edge.spec import InputSpec, ModelSpec

__version__ = "0.1.0"

_MODULES = {
    "BenchmarkError": "errors",
    "Bundle": "bundle.reader",
    "BundleError": "errors",
    "Classifier": "classifier",
    "CxrEdgeError": "errors",
    "DataError": "errors",
    "EngineError": "errors",
    "Explanation": "results",
    "ExportError": "errors",
    "Failure": "results",
    "ImageError": "errors",
    "ImageLimits": "image",
    "InputSpec": "spec",
    "MissingExtraError": "errors",
    "ModelError": "errors",
    "ModelSpec": "spec",
    "OutputError": "errors",
    "ParityError": "errors",
    "Prediction": "results",
    "ProfileError": "errors",
    "SpecError": "errors",
    "UsageError": "errors",
}

__all__ = [
    "BenchmarkError",
    "Bundle",
    "BundleError",
    "Classifier",
    "CxrEdgeError",
    "DataError",
    "EngineError",
    "Explanation",
    "ExportError",
    "Failure",
    "ImageError",
    "ImageLimits",
    "InputSpec",
    "MissingExtraError",
    "ModelError",
    "ModelSpec",
    "OutputError",
    "ParityError",
    "Prediction",
    "ProfileError",
    "SpecError",
    "UsageError",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
