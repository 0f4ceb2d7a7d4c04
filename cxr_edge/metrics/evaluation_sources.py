"""What an evaluation is of: the model, the images, and the command that made the document."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_edge.errors import DataError
from cxr_edge.metrics.evaluation_parts import CHECK
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What was evaluated."""

    name: str
    """Name of the run folder, ``.keras`` file or bundle."""
    artifact: str
    """The file of it that ran."""
    engine: str
    """What ran it: ``Keras``, or an engine's name."""
    spec: ModelSpec
    """Input, labels, decision rule and how the threshold was chosen."""

    @property
    def description(self) -> str:
        """For example ``onnx-int8 of bundle, run by onnxruntime``."""
        file = self.name if self.artifact == self.name else f"{self.artifact} of {self.name}"
        return f"{file}, run by {self.engine}"


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The images that a model was evaluated on."""

    name: str
    """Name of their folder."""
    images: int
    """How many were scored."""
    patients: int
    """How many patients they show: the independent units of the intervals."""
    unreadable: int
    """Files that could not be read and are not counted."""
    resamples: int
    """Bootstrap samples behind each interval."""

    def __post_init__(self) -> None:
        CHECK.counts(least=1, images=self.images, patients=self.patients)
        CHECK.counts(unreadable=self.unreadable, resamples=self.resamples)
        if self.patients > self.images:
            raise DataError(f"patients is {self.patients}, more than the {self.images} images")


@dataclass(frozen=True, slots=True)
class Origin:
    """When, with what and how a document was made."""

    created: str
    """UTC, ISO 8601."""
    command: str
    """Makes it again."""
    versions: dict[str, str]
    """Package → version."""
