"""What an evaluation is of: the model, the images, and the command that made the document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cxr_edge import documents
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
    recipe: str | None = documents.since("1.1", None)
    """Training recipe with its version; null: unknown."""

    @property
    def description(self) -> str:
        """For example ``onnx-int8 of bundle, run by onnxruntime``."""
        file = self.name if self.artifact == self.name else f"{self.artifact} of {self.name}"
        return f"{file}, run by {self.engine}"


def have_one_recipe(models: Iterable[ModelSource]) -> bool:
    """Whether one known recipe trained all models, so that they differ in their seed only."""
    recipes = {(model.recipe, model.spec.name, model.spec.input) for model in models}
    return len(recipes) == 1 and all(recipe is not None for recipe, *_ in recipes)


def spread_meaning(models: Sequence[ModelSource]) -> str:
    """What the standard deviation over several models means, as the end of a sentence."""
    if have_one_recipe(models):
        return "what another seed of the same recipe changes by chance"
    recipes = list(dict.fromkeys(model.recipe or f"unknown, {model.name}" for model in models))
    listing = "; ".join(recipes[:4]) + ("; …" if len(recipes) > 4 else "")
    return f"not chance alone: the models are not known to be of one recipe ({listing})"


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
