"""The model that the service runs, and the check that it makes the original's decisions."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.manifest import MANIFEST_NAME
from cxr_edge.bundle.reader import Bundle
from cxr_edge.classifier import Classifier
from cxr_edge.decision import decide, probabilities
from cxr_edge.errors import BundleError, CxrEdgeError, UsageError
from cxr_edge.image import ImageLimits
from cxr_edge.results import Explanation, Prediction
from cxr_edge.service.config import ServiceConfig

BundleIdentity = tuple[int, int, int]

_MOST_COMMITS = 5
"""Exports into the bundle's folder, while it is being loaded, after which loading goes on."""


@dataclass(slots=True)
class ServedModel:
    """A loaded model with the golden inputs of its bundle."""

    folder: Path | None
    """Of the bundle; None: the bundled reference."""
    classifier: Classifier
    sha256: str
    """Hash of the bundle's manifest."""
    golden: GoldenSet
    tolerance: float
    """Largest |difference| of a score from the original model's, 0..1."""
    identity: BundleIdentity | None = None
    """Of the bundle's path before it was loaded; see :func:`bundle_identity`."""
    heatmaps: Classifier | None = None
    """A model that draws heat maps; loaded when the first is asked for."""
    next_check: int = 0

    @classmethod
    def load(cls, config: ServiceConfig) -> ServedModel:
        """Load the model of a configuration.

        Raises:
            CxrEdgeError: as :meth:`cxr_edge.Classifier.load`.
        """
        identity = bundle_identity(config)
        # A link may point elsewhere at any moment; the folder that it names now is not changed.
        folder = Path(config.bundle).resolve() if config.bundle else None
        for _ in range(_MOST_COMMITS):
            before = Bundle.open(folder)
            classifier = Classifier.load(
                folder,
                artifact=config.artifact or None,
                engine=config.engine or None,
                threads=config.threads or None,
                limits=_limits(config),
                profile=config.profile or None,
                key=config.key or None,
            )
            if not before.is_replaced():
                break
        _check_heatmaps(config, before)
        artifact = before.artifact(classifier.artifact)
        engines = {record.engine: record for record in artifact.engines}
        tolerance = engines[classifier.engine].tolerance
        return cls(
            *(folder, classifier, before.manifest.sha256, before.golden(), tolerance),
            identity=identity,
        )

    def predict(self, data: bytes, name: str) -> Prediction:
        """Classify the bytes of a file.

        Args:
            data: the file.
            name: for messages and as the result's source.

        Raises:
            CxrEdgeError: as :meth:`cxr_edge.Classifier.predict`.
        """
        return self.classifier.predict(_Named(data, name))

    def explain(self, data: bytes, name: str, config: ServiceConfig) -> Explanation:
        """Classify the bytes of a file and compute its heat map.

        Raises:
            UsageError: the bundle has no heat maps.
            BundleError: it is another one by now.
            CxrEdgeError: as :meth:`cxr_edge.Classifier.explain`.
        """
        if self.heatmaps is None:
            if Bundle.open(self.folder).manifest.sha256 != self.sha256:
                raise BundleError("the bundle was replaced; try again in a moment")
            self.heatmaps = Classifier.load(
                self.folder, heatmap=True, limits=_limits(config), key=config.key or None
            )
        return self.heatmaps.explain(_Named(data, name))

    def check(self) -> str:
        """Classify the next golden input as a file, and compare it with the original model.

        Returns:
            What is wrong, on one line; empty: nothing is.
        """
        index = self.next_check % len(self.golden.scores)
        self.next_check = index + 1
        spec = self.classifier.spec
        pixels = self.golden.pixels[index]
        png = cv2.imencode(".png", pixels[..., ::-1] if pixels.shape[-1] == 3 else pixels)[1]
        table = probabilities(self.golden.scores[index : index + 1], spec)
        try:
            prediction = self.predict(png.tobytes(), f"golden input {index + 1}")
        except CxrEdgeError as err:
            return f"golden input {index + 1} cannot be classified: {err}"
        scores = np.array([list(prediction.scores.values())])
        delta = float(np.abs(scores - table).max())
        if not delta <= self.tolerance:
            return (
                f"golden input {index + 1} scores {delta:.1e} from the original model, allowed "
                f"{self.tolerance:.0e}"
            )
        expected = spec.labels[decide(table, spec)[0]]
        if prediction.label != expected:
            return f"golden input {index + 1} is {prediction.label}, expected {expected}"
        return ""

    def check_all(self) -> str:
        """Check every golden input; see :meth:`check`."""
        return next((p for _ in range(len(self.golden.scores)) if (p := self.check())), "")


class _Named(io.BytesIO):
    """A file in memory with a name."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def _check_heatmaps(config: ServiceConfig, bundle: Bundle) -> None:
    has_heatmaps = any(record.has_heatmap for record in bundle.manifest.artifacts)
    if config.worker.heatmaps == "always" and not has_heatmaps:
        raise UsageError(
            'worker.heatmaps is "always", but no file of the bundle has heat maps; set it to '
            '"on-request", or export the model with --artifacts onnx-explain too'
        )


def _limits(config: ServiceConfig) -> ImageLimits:
    worker = config.worker
    return ImageLimits(worker.max_pixels, int(worker.max_file_mb * 1e6), worker.radiographs)


def bundle_identity(config: ServiceConfig) -> BundleIdentity | None:
    """What changes when another bundle is put in a bundle's place; None: it is not there."""
    if not config.bundle:
        return None
    try:
        status = Path(config.bundle, MANIFEST_NAME).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
