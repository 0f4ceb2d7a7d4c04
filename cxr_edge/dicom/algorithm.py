"""What classified an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cxr_edge

if TYPE_CHECKING:
    from cxr_edge.classifier import Classifier


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What classified an image, as a report names it."""

    name: str
    """What people call the model: ``ModelSpec.name``."""
    version: str
    """Version of this package."""
    bundle: str
    """SHA-256 of the bundle's manifest, 64 hexadecimal digits."""
    artifact: str
    """The model file that ran."""
    engine: str
    """The engine that ran it."""

    @classmethod
    def of(cls, classifier: Classifier) -> Algorithm:
        """What a report says of a classifier that was loaded from a bundle."""
        return cls(
            name=classifier.spec.name,
            version=cxr_edge.__version__,
            bundle=classifier.bundle_sha256 or "",
            artifact=classifier.artifact,
            engine=classifier.engine,
        )
