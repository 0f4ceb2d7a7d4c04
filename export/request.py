"""What an export is asked for: the original model, and the images and limits to use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cxr_edge.bundle.manifest import Provenance
from cxr_edge.bundle.signature import read_private_key
from cxr_edge.data.patients import Grouping, kermany_patient
from cxr_edge.data.samples import Samples, list_samples
from cxr_edge.domain import Domain
from cxr_edge.errors import DataError
from cxr_edge.export.golden import POOL
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.recipe import STRENGTHS
from cxr_edge.files import printable, sha256
from cxr_edge.spec import ModelSpec

Use = Literal["calibration", "validation"]
"""What images decide before figures are measured: activation ranges, or which recipe is kept."""


@dataclass(frozen=True, slots=True)
class CalibrationImages:
    """Images to measure activation ranges on."""

    samples: Samples
    source: str
    """Where they come from; the manifest repeats it."""
    in_bundle: bool = False
    """Whether the bundle contains them. Only images that show no patient may be in a bundle."""


@dataclass(frozen=True, slots=True)
class OriginalModel:
    """The Keras model to export; every exported model is compared with it."""

    data: bytes
    """The ``.keras`` file."""
    spec: ModelSpec
    provenance: Provenance
    name: str
    """Its name in messages."""
    calibration: CalibrationImages | None = None
    """Calibration images that came with it."""
    validation: Samples | None = None
    """Images that came with it, to choose quantization recipes by."""
    domain: Domain | None = None
    """What its training images look like."""
    model: Any = field(default=None, compare=False, repr=False)
    """The ``keras.Model``, where it is loaded already."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Images and limits of one export."""

    calibration: Path | None = None
    """Folder of images to measure activation ranges on; None: those that came with the model, or
    images distilled from the network."""
    validation: Path | None = None
    """Folder of images to choose recipes by; None: those that came with the model, or drawn
    inputs."""
    data: Path | None = None
    """Folder of images to check parity on; None: golden inputs only."""
    budget: Budget = field(default_factory=Budget)
    """How much a quantized model may change."""
    thorough: bool = False
    """Whether the search tries every recipe, even after one held the budget."""
    distill: bool = False
    """Whether the bundle gets calibration images distilled from the network."""
    keep_images: bool = False
    """Whether golden inputs are images of ``data`` or ``validation``, which the bundle then holds.
    False: they are drawn, and show nobody."""
    sign: Path | None = None
    """File of the private key that signs the bundle; None: it is not signed."""
    named: frozenset[str] = frozenset()
    """Kinds that were asked for by name. The report says of each that is missing that it was; any
    other kind that is not possible is replaced or left out."""
    group_of: Grouping = kermany_patient
    """Which images show the same patient."""
    strengths: tuple[float, ...] = STRENGTHS
    """Strengths of equalization that the search tries, 0..1."""
    golden_pool: int = POOL
    """Inputs drawn, from which the golden inputs are chosen."""

    def check(self) -> None:
        """Refuse, before any work is done, a folder of images or a key that cannot be used.

        Raises:
            DataError: a path is no folder.
            UsageError: the key is no Ed25519 private key.
            MissingExtraError: there is a key, and ``cryptography`` is not installed.
        """
        if self.sign is not None:
            read_private_key(self.sign)
        for option in ("calibration", "validation", "data"):
            path: Path | None = getattr(self, option)
            if path is not None and not path.is_dir():
                kind = "is a file" if path.exists() else "does not exist"
                raise DataError(f"{printable(path)}: {kind}, --{option} expects a folder of images")

    def check_folders(self, spec: ModelSpec) -> None:
        """Refuse, before the model is loaded, folders that do not fit its labels or share files.

        Raises:
            DataError: a folder is not laid out as expected, or two hold the same image.
        """
        files = {
            option: list_samples(path, spec)[0].files
            for option in ("calibration", "validation", "data")
            if (path := getattr(self, option)) is not None
        }
        for use, others in _APART:
            if shared := _copies(files.get(use, ()), files.get(others, ())):
                raise overlap(use, len(shared), IMAGES[others], printable(shared[0]))


IMAGES = {"data": "the images to check parity on", "validation": "the validation images"}
"""What messages call the images of an option."""

_APART: tuple[tuple[Use, str], ...] = (
    ("calibration", "data"),
    ("calibration", "validation"),
    ("validation", "data"),
)
"""Options whose folders share no image: the first decides, the second is measured on."""

_FLATTERY: dict[Use, str] = {
    "calibration": "ranges fitted to an image flatter its figures",
    "validation": "a recipe chosen by an image flatters its figures",
}


def overlap(use: Use, count: int, others_name: str, example: str) -> DataError:
    """The error for images that decided how a file was made and that figures are measured on."""
    name = f" ({example})" if example else ""
    return DataError(
        f"{count} {use} images are also among {others_name}{name}; {_FLATTERY[use]}; remove them "
        "from one of the two folders"
    )


def _copies(files: Sequence[Path], others: Sequence[Path]) -> list[Path]:
    """Those of the others that are byte-identical to one of the files."""
    sizes = {_size(path) for path in files} & {_size(path) for path in others} - {None}
    known = {_digest(path) for path in files if _size(path) in sizes} - {None}
    return [path for path in others if _size(path) in sizes and _digest(path) in known]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:  # reported where it is read
        return None


def _digest(path: Path) -> str | None:
    try:
        return sha256(path.read_bytes())
    except OSError:  # reported where it is read
        return None
