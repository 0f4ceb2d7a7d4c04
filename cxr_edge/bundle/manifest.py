"""``manifest.json``: what a bundle holds, and the hash of every file in it.

It is deterministic: no dates, timings or names of images. It also holds a hash of its own bytes,
so that a changed byte anywhere in a bundle, the manifest included, is found before a model is
loaded.

To add a key: raise the minor version of :data:`FORMAT`, declare the field at the end of its
dataclass with :func:`cxr_edge.documents.since` and a default for older files, and keep a bundle of
the new format beside the older ones in ``tests/bundle/data``.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from cxr_edge import documents
from cxr_edge.bundle.proofs import DecodingRecord, EngineRecord
from cxr_edge.documents import since
from cxr_edge.engines import SCORES, Format, Output
from cxr_edge.errors import BundleError
from cxr_edge.files import sha256
from cxr_edge.records import dataclass
from cxr_edge.spec import Decoding, ModelSpec

MANIFEST_NAME = "manifest.json"
"""The file whose replacement commits a bundle."""
NOTICE = "Research software, not a medical device. Not for diagnosis or treatment."
"""The disclaimer of every bundle, page and report."""
FORMAT = "2.1"
"""Version of the bundle format, ``major.minor``: a new minor version adds keys, a new major
version breaks readers."""
MAX_MANIFEST_BYTES = 2**20
"""The largest manifest that is read."""
MAX_FILE_BYTES = 2**30
"""The largest file of a bundle that is read."""
MAX_GOLDEN = 2**12
"""The most golden inputs that a bundle may have."""

Target = Literal["any", "portable", "x86-vnni", "arm64", "arm64-fp16"]
"""Machines whose arithmetic a file is made for; ``any`` and ``portable``: all; ``arm64-fp16``:
arm64, where cores from ARMv8.2 on compute it in 16-bit floats and older ones in float32."""

# The hash is found by its place, the second key, so that it can be taken out of the raw bytes.
_HEADER = re.compile(
    rb'\s*\{\s*"format"\s*:\s*"[\d.]+"\s*,\s*"sha256"\s*:\s*"(?P<sha256>[0-9a-f]{64})"'
)
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
            raise BundleError(f"{self.file!r} is no plain file name of a-z, 0-9, ., _ and -")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise BundleError(f"{self.file}: {self.sha256!r} is no SHA-256, 64 digits 0-9a-f")
        if not 0 < self.bytes <= MAX_FILE_BYTES:
            raise BundleError(f"{self.file}: {self.bytes} bytes, expected 1..{MAX_FILE_BYTES}")


@dataclass(frozen=True, slots=True)
class Calibration:
    """The images that activation ranges were measured on; none of them is used for scoring."""

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
    """How a file was quantized, in enough detail to repeat it."""

    arithmetic: Literal["static", "dynamic", "weights"]
    """``static``: integers with ranges measured before; ``dynamic``: integers with ranges found
    while it runs; ``weights``: only stored smaller, computed as ``precision`` says."""
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
    """The calibration images; null: none were needed."""


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
    """Its outputs in order: ``scores``, then ``heatmap`` if it has one."""
    file: FileRecord
    """The file."""
    engines: tuple[EngineRecord, ...]
    """Engines on which its parity was proven, the preferred one first."""
    quantization: Quantization | None
    """How it was quantized; null: it was not."""

    def __post_init__(self) -> None:
        if not _SAFE_NAME.fullmatch(self.name):
            raise BundleError(
                f"an artifact is called {self.name!r:.40}, expected a name of a-z, 0-9, ., _ and -"
            )
        if not self.engines:
            raise BundleError(f"{self.name}: proven on no engine; export the model again")
        if self.outputs not in (SCORES, (*SCORES, "heatmap")):
            raise BundleError(
                f"{self.name}: outputs are {list(self.outputs)}, expected scores, then heatmap or "
                "nothing"
            )

    @property
    def has_heatmap(self) -> bool:
        """Whether it has a heat map output."""
        return "heatmap" in self.outputs


@dataclass(frozen=True, slots=True)
class GoldenRecord:
    """The inputs, with the original model's scores, that prove parity on the device."""

    file: FileRecord
    """The file."""
    inputs: int
    """How many."""
    decisions: dict[str, int]
    """Inputs by the label that the original model gives them."""
    margin: float
    """The smallest change of a score that would change a decision, 0..1."""
    source: str
    """Where the inputs come from."""

    @property
    def only_decision(self) -> str | None:
        """The one label that the original gives all of them; None: they have several."""
        decided = [label for label, count in self.decisions.items() if count]
        return decided[0] if len(decided) == 1 else None

    def __post_init__(self) -> None:
        if not 0 < self.inputs <= MAX_GOLDEN:
            raise BundleError(f"golden.inputs is {self.inputs}, expected 1..{MAX_GOLDEN}")
        if min(self.decisions.values(), default=0) < 0:
            raise BundleError(
                f"golden.decisions are {dict(self.decisions)!s:.100}, expected 0 or more of each"
            )


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
    """Patients and images it was not trained for, and its known failures; empty: not said."""
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
    teachers: tuple[str, ...] = since("2.1", ())
    """SHA-256 of the ``.keras`` files whose scores it was trained on; empty: on labels."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of ``manifest.json``."""

    format: str
    """Version of the bundle format, ``major.minor``."""
    sha256: str
    """SHA-256 of the file's bytes without these 64 digits."""
    notice: str
    """What the model must not be used for."""
    spec: ModelSpec
    """The contract; every exported file carries a copy."""
    keras: FileRecord
    """The original model, without its optimizer."""
    calibration: FileRecord | None
    """Synthetic images to calibrate on, so that it can be quantized again; null: none."""
    domain: FileRecord | None
    """Statistics of the training images, to recognize unlike images; null: unknown."""
    artifacts: tuple[ArtifactRecord, ...]
    """Exported files, the preferred one first; :mod:`cxr_edge.bundle.preference` has the rule."""
    golden: GoldenRecord
    """Inputs and scores that prove parity."""
    provenance: Provenance
    """Where the model comes from."""
    decoding: DecodingRecord | None = since("2.1", None)
    """What fast decoding changes; null: the export had no ``--data``."""

    def __post_init__(self) -> None:
        if not self.artifacts:
            raise BundleError("there is no artifact; export the model again")
        names = [a.name for a in self.artifacts]
        files = [record.file for record in self.files]
        if len(set(names)) != len(names) or len(set(files)) != len(files):
            raise BundleError("two artifacts share a name or a file; each must have its own")
        if self.spec.activation == "logits":
            raise BundleError("spec.activation is logits; a bundle's scores are probabilities")

    @property
    def default_decoding(self) -> Decoding:
        """How the runtime decodes JPEGs unless it is told otherwise."""
        return self.decoding.default if self.decoding else "fast"

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """Every file of the bundle except the manifest and the model card."""
        optional = [record for record in (self.calibration, self.domain) if record]
        return (self.keras, *optional, *(a.file for a in self.artifacts), self.golden.file)


def dump_manifest(manifest: Manifest) -> bytes:
    """Write a manifest in the current format, with its own hash filled in."""
    unsigned = dataclasses.replace(manifest, format=FORMAT, sha256="")
    digest = sha256(documents.dump(unsigned))
    return documents.dump(dataclasses.replace(unsigned, sha256=digest))


def parse_manifest(data: bytes, name: str = MANIFEST_NAME) -> Manifest:
    """Read a manifest, of this format version or an older minor one.

    Args:
        data: the bytes of the file.
        name: what messages call it.

    Raises:
        BundleError: it is malformed, was changed after export, or is of a newer format or an
            older major one.
    """
    renew = "export the model again"
    version = documents.read_version(data, FORMAT, name=name, error=BundleError, renew=renew)
    if version is None:
        raise BundleError(
            f"{name}: no manifest of a cxr-edge bundle: it does not begin with its format version"
        )
    # The hash comes first: nothing is made of bytes that are not those of the export.
    header = _HEADER.match(data)
    if not header or header["sha256"].decode() != sha256(_without(data, header.span("sha256"))):
        raise BundleError(f"{name}: changed after export; {renew} or restore the file")
    return documents.parse(data, Manifest, name=name, error=BundleError, version=version)


def _without(data: bytes, span: tuple[int, int]) -> bytes:
    return data[: span[0]] + data[span[1] :]
