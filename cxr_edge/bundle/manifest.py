"""``manifest.json``: what a bundle holds, and the hash of every file in it.

It is deterministic: no dates, timings or names of images. It also hashes itself, so that a
changed byte anywhere in a bundle, the manifest included, is found before a model is loaded.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Literal

from cxr_edge import documents
from cxr_edge.engines import ENGINES, SCORES, Format, Output
from cxr_edge.errors import BundleError
from cxr_edge.files import sha256
from cxr_edge.spec import ModelSpec

MANIFEST_NAME = "manifest.json"
"""The file whose replacement commits a bundle."""
NOTICE = "Research software, not a medical device. Not for diagnosis or treatment."
"""What every bundle says about its use."""
FORMAT = "2.0"
"""Version of the bundle format: a new major one breaks readers, a new minor one adds keys."""
MAX_MANIFEST_BYTES = 2**20
"""The largest manifest that is read."""
MAX_FILE_BYTES = 2**30
"""The largest file of a bundle that is read."""

Target = Literal["any", "portable", "x86-vnni", "arm64"]
"""Machines whose integer arithmetic a file is made for; the first two: all."""

_SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a bundle."""

    file: str
    """Its name inside the bundle's folder; it contains part of the hash."""
    sha256: str
    """SHA-256 of its content, 64 hexadecimal digits."""
    bytes: int
    """Its size."""

    def __post_init__(self) -> None:
        if not _SAFE_NAME.fullmatch(self.file):
            raise BundleError(f"{self.file!r} is no plain file name")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise BundleError(f"{self.file}: {self.sha256!r} is no SHA-256")
        if not 0 < self.bytes <= MAX_FILE_BYTES:
            raise BundleError(f"{self.file}: {self.bytes} bytes, expected 1..{MAX_FILE_BYTES}")


@dataclass(frozen=True, slots=True)
class Parity:
    """How far an exported file's answers lie from the original model's, on the same inputs."""

    inputs: int
    """How many inputs were compared."""
    max_abs_delta: float
    """Largest |difference| of any output, 0..1."""
    mean_abs_delta: float
    """Mean |difference| of the outputs, 0..1."""
    p99_abs_delta: float
    """|Difference| that 99 % of the outputs stay below or at, 0..1."""
    flips: int
    """Inputs whose decision differs at the spec's threshold."""


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """What an artifact was proven to do on one engine."""

    engine: str
    """Name of the engine."""
    tolerance: float
    """Largest |difference| that ``verify`` accepts on any machine; a flip is never accepted."""
    golden: Parity
    """Measured at export on the golden inputs."""
    data: Parity | None
    """Measured at export on the images given by ``--data``; null: none were given."""

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise BundleError(f"no engine is called {self.engine!r}; update cxr-edge")
        if not 0 <= self.tolerance <= 1:
            raise BundleError(f"{self.engine}: tolerance is {self.tolerance}, expected 0..1")


@dataclass(frozen=True, slots=True)
class Calibration:
    """The images that activation ranges were measured on; never ones that are scored."""

    source: str
    """Where they come from."""
    images: int
    """How many."""
    sha256: str
    """SHA-256 over the sorted SHA-256 of each image's pixels."""
    labels: dict[str, int] | None
    """Images by label; null: unlabelled."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """How a file was quantized: enough to do it again."""

    arithmetic: Literal["static", "dynamic", "weights"]
    """``static``: integers with ranges measured before; ``dynamic``: integers with ranges found
    while it runs; ``weights``: only stored smaller, computed in float32."""
    weight_bits: int
    """Bits of a weight."""
    ranges: str | None
    """How activation ranges follow from calibration images; null: not needed."""
    equalization: dict[str, float]
    """Strength of the equalization before each layer, 0..1."""
    bias_correction: bool
    """Whether biases make up for the mean error of rounded weights."""
    float_layers: tuple[str, ...]
    """Layers left in float32."""
    calibration: Calibration | None
    """Images measured on; null: none were needed."""


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """One exported model file."""

    name: str
    """What options and results call it, for example ``onnx-fp32``."""
    format: Format
    """The kind of file."""
    precision: str
    """Type of weights and arithmetic, for example ``fp32``."""
    target: Target
    """Machines it is meant for; ``any``: all."""
    dynamic_batch: bool
    """Whether it takes any batch size; False: one image a call."""
    outputs: tuple[Output, ...]
    """What it answers, in order: ``scores``, and ``heatmap`` where it gives one."""
    file: FileRecord
    """Where it is."""
    engines: tuple[EngineRecord, ...]
    """Engines that it was proven on, the preferred one first."""
    quantization: Quantization | None
    """How it was quantized; null: it was not."""

    def __post_init__(self) -> None:
        if self.outputs not in (SCORES, (*SCORES, "heatmap")):
            raise BundleError(
                f"{self.name}: outputs are {list(self.outputs)}, expected scores, then heatmap or "
                "nothing"
            )

    @property
    def has_heatmap(self) -> bool:
        """Whether it answers a heat map too."""
        return "heatmap" in self.outputs


@dataclass(frozen=True, slots=True)
class GoldenRecord:
    """The inputs and original answers that prove parity on the device."""

    file: FileRecord
    """Where they are."""
    inputs: int
    """How many."""
    decisions: dict[str, int]
    """How many of them the original model gives each label."""
    margin: float
    """The smallest distance of a decision from changing, as a difference of scores."""
    source: str
    """Where the inputs come from."""

    def __post_init__(self) -> None:
        if self.inputs < 1:
            raise BundleError(f"golden.inputs is {self.inputs}, expected at least 1")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the model comes from."""

    recipe: str
    """Name and version of the training recipe; ``unknown`` for a model trained elsewhere."""
    seed: int | None
    """Random seed of the training."""
    data: str
    """What the training data is, its licence and attribution, in words; empty: not said."""
    limits: str
    """Whom and what the model was not trained for, and how it is known to fail; empty: not said."""
    data_sha256: str | None
    """Fingerprint of the training data: SHA-256 over the sorted hashes of its images and labels."""
    train_images: dict[str, int]
    """Images trained on, by label."""
    validation: dict[str, float]
    """Figures on held-out training patients."""
    test: dict[str, float]
    """Figures on the test folder."""
    tools: dict[str, str]
    """Versions of the tools that trained and exported it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that ``manifest.json`` says."""

    format: str
    """Version of the bundle format, ``major.minor``."""
    sha256: str
    """SHA-256 of this document with an empty text here."""
    notice: str
    """What the model must not be used for."""
    spec: ModelSpec
    """The contract, the same as in every file."""
    keras: FileRecord
    """The original model, without its optimizer."""
    calibration: FileRecord | None
    """Images to calibrate on, nobody's picture, so that it can be quantized again; null: none."""
    domain: FileRecord | None
    """What its training images look like, so that others can be told from them; null: unknown."""
    artifacts: tuple[ArtifactRecord, ...]
    """Exported files, the preferred one first."""
    golden: GoldenRecord
    """Proof of parity."""
    provenance: Provenance
    """Where the model comes from."""

    def __post_init__(self) -> None:
        names = [a.name for a in self.artifacts]
        files = [record.file for record in self.files]
        if len(set(names)) != len(names) or len(set(files)) != len(files):
            raise BundleError("two artifacts share a name or a file")

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """Every file that the bundle holds besides the manifest."""
        extra = [record for record in (self.calibration, self.domain) if record]
        return (self.keras, *extra, *(a.file for a in self.artifacts), self.golden.file)


def dump_manifest(manifest: Manifest) -> bytes:
    """Write a manifest with its own hash filled in."""
    digest = sha256(documents.dump(dataclasses.replace(manifest, sha256="")))
    return documents.dump(dataclasses.replace(manifest, sha256=digest))


def parse_manifest(data: bytes, name: str = MANIFEST_NAME) -> Manifest:
    """Read a manifest.

    Raises:
        BundleError: it is malformed, was changed, or is of another format version.
    """
    _check_version(data, name)
    manifest = documents.parse(data, Manifest, name=name, error=BundleError)
    if dump_manifest(manifest) != data:
        raise BundleError(f"{name}: changed after export; export again or restore it")
    return manifest


def _check_version(data: bytes, name: str) -> None:
    """Say that a newer format is newer, rather than complain about one of its keys."""
    found = re.match(rb'\{\s*"format": "(\d{1,4})\.(\d{1,4})"', data)
    if not found:
        raise BundleError(f"{name}: no manifest of a cxr-edge bundle")
    version = f"{found[1].decode()}.{found[2].decode()}"
    major, minor = (int(part) for part in FORMAT.split("."))
    if (int(found[1]), int(found[2])) > (major, minor):
        raise BundleError(
            f"{name}: format {version}, this cxr-edge reads up to {FORMAT}; update it"
        )
    if int(found[1]) < major:
        raise BundleError(
            f"{name}: format {version}, this cxr-edge reads {major}.x; export the model again"
        )
