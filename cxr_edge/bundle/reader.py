"""A bundle: a folder with a manifest and the files that it lists, read and checked."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxr_edge.bundle.manifest import (
    MANIFEST_NAME,
    MAX_FILE_BYTES,
    MAX_MANIFEST_BYTES,
    ArtifactRecord,
    FileRecord,
    Manifest,
    parse_manifest,
)
from cxr_edge.bundle.model_card import CARD_NAME, model_card
from cxr_edge.decision import Scores
from cxr_edge.domain import Domain, parse_domain
from cxr_edge.engines import ENGINES, Engine, installed_engines, open_engine, suits
from cxr_edge.errors import BundleError, EngineError, MissingExtraError, UsageError, unknown_name
from cxr_edge.files import printable, read_file, sha256
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import notice

if TYPE_CHECKING:
    from cxr_edge.data.samples import Samples

REFERENCE = Path(__file__).parents[1] / "reference"
"""The bundle of the reference model that the package carries."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs with the original model's answers."""

    pixels: Pixels
    """(N, height, width, channels) uint8, preprocessed."""
    scores: Scores
    """(N, spec.outputs) float32, what the original Keras model answers."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose manifest was read; its files are hashed when they are."""

    folder: Path
    """Where it is."""
    manifest: Manifest
    """What it holds."""

    @classmethod
    def open(cls, folder: str | os.PathLike[str] | None = None) -> Bundle:
        """Read a bundle's manifest.

        Args:
            folder: the bundle; None: the reference model of the package.

        Raises:
            BundleError: the manifest is absent, malformed, changed, or of a newer format.
        """
        path = REFERENCE if folder is None else Path(folder)
        name = path / MANIFEST_NAME
        try:
            found = name.exists()
        except OSError as err:  # a name too long, a folder that may not be searched
            raise BundleError(f"{printable(path)}: cannot be opened: {err.strerror}") from err
        if not found:
            raise BundleError(f"{printable(path)}: no bundle here ({MANIFEST_NAME} is missing)")
        data = read_file(name, max_bytes=MAX_MANIFEST_BYTES, error=BundleError)
        return cls(path, parse_manifest(data, printable(name)))

    def read(self, record: FileRecord) -> bytes:
        """Read one file and check it against the manifest.

        Raises:
            BundleError: it is absent or changed.
        """
        path = self.folder / record.file
        limit = min(record.bytes, MAX_FILE_BYTES)
        data = read_file(path, max_bytes=limit, error=BundleError, follow_symlinks=False)
        digest = sha256(data)
        if digest != record.sha256:
            raise BundleError(
                f"{path}: sha256 is {digest[:8]}…, {MANIFEST_NAME} says {record.sha256[:8]}…; "
                "the file changed after export, export again or restore it"
            )
        return data

    def artifact(self, name: str) -> ArtifactRecord:
        """Find an artifact by name.

        Raises:
            UsageError: there is none; the message names the nearest one.
        """
        names = [a.name for a in self.manifest.artifacts]
        if name not in names:
            raise unknown_name("artifact", name, names)
        return self.manifest.artifacts[names.index(name)]

    def choose(
        self, artifact: str | None, engine: str | None, *, heatmap: bool = False
    ) -> tuple[ArtifactRecord, str]:
        """Pick the artifact and engine to run.

        A file whose integer arithmetic this CPU gets wrong is passed over, with one line in the
        log ``cxr_edge``. One that answers a heat map which nobody asked for is the last resort.

        Args:
            artifact: a name, or None for the first that an installed engine runs.
            engine: a name, or None for the first installed one that the artifact was proven on.
            heatmap: whether it must answer a heat map.

        Raises:
            UsageError: nothing in the bundle matches both names, or answers a heat map.
            MissingExtraError: what matches needs an engine that is not installed.
            EngineError: the artifact is not for this machine.
        """
        candidates = self._candidates(artifact, heatmap)
        pairs = [(a, r.engine) for a in candidates for r in a.engines if engine in (None, r.engine)]
        if not pairs:
            proven = ", ".join(f"{a.name} on {r.engine}" for a in candidates for r in a.engines)
            raise UsageError(
                f"{artifact or 'the bundle'} was not proven on {engine}, only: {proven}"
            )
        installed = installed_engines()
        present = [pair for pair in pairs if pair[1] in installed]
        if not present:
            needed = ", ".join(dict.fromkeys(name for _, name in pairs))
            raise MissingExtraError(
                f"{pairs[0][0].name} runs on {needed}, not installed here; "
                f"{ENGINES[pairs[0][1]].install} brings it"
            )
        suited = [pair for pair in present if suits(pair[0].target)]
        if not suited:
            raise EngineError(_unsuited(present[0][0]))
        if suited[0] != present[0]:
            notice(f"{_unsuited(present[0][0])}; {suited[0][0].name} runs instead")
        return suited[0]

    def _candidates(self, artifact: str | None, heatmap: bool) -> tuple[ArtifactRecord, ...]:
        every = self.manifest.artifacts
        named = every if artifact is None else (self.artifact(artifact),)
        if not heatmap:
            return tuple(sorted(named, key=lambda each: each.has_heatmap))
        explaining = tuple(each for each in named if each.has_heatmap)
        if not explaining:
            if able := [each.name for each in every if each.has_heatmap]:
                raise UsageError(f"{artifact} answers no heat map; {', '.join(able)} does")
            what = artifact or "the bundle"
            if self.manifest.spec.positive_label is None:
                raise UsageError(f"{what} answers no heat map; there are none for over two labels")
            names = ",".join(["onnx-explain", *(a.name for a in every)])
            raise UsageError(
                f"{what} answers no heat map; 'cxr-edge export MODEL --artifacts {names}' makes a "
                "bundle that does, where the network allows one"
            )
        return explaining

    def load(self, artifact: ArtifactRecord, engine: str, *, threads: int = 1) -> Engine:
        """Hash an artifact and hand its bytes to an engine.

        Raises:
            BundleError: the file is absent or changed.
            MissingExtraError: the engine is not installed.
            EngineError: the engine refuses the file, or it does not fit the spec.
        """
        data, spec = self.read(artifact.file), self.manifest.spec
        return open_engine(engine, data, spec, threads=threads, outputs=artifact.outputs)

    def golden(self) -> Golden:
        """Read the golden inputs and answers.

        Raises:
            BundleError: the file is absent, changed or malformed.
        """
        return parse_golden(self.read(self.manifest.golden.file), self.manifest)

    def calibration(self) -> Samples | None:
        """Read the images to calibrate on; None where the bundle holds none.

        Raises:
            BundleError: the file is absent, changed or malformed.
        """
        from cxr_edge.data.samples import parse_samples

        record = self.manifest.calibration
        if record is None:
            return None
        return parse_samples(self.read(record), self.manifest.spec, record.file, BundleError)

    def domain(self) -> Domain | None:
        """Read what the training images look like; None where the bundle does not say.

        Raises:
            BundleError: the file is absent, changed or malformed.
        """
        record = self.manifest.domain
        return parse_domain(self.read(record), record.file, BundleError) if record else None

    def card_is_current(self) -> bool:
        """Whether ``MODEL_CARD.md`` is there and says what the manifest says.

        Raises:
            BundleError: it cannot be read.
        """
        path = self.folder / CARD_NAME
        if not path.exists():
            return False
        data = read_file(path, max_bytes=MAX_MANIFEST_BYTES, error=BundleError)
        return data == model_card(self.manifest).encode()

    def unlisted(self) -> tuple[str, ...]:
        """Names in the folder that the manifest does not list, sorted."""
        listed = {MANIFEST_NAME, CARD_NAME, *(record.file for record in self.manifest.files)}
        return tuple(sorted(p.name for p in self.folder.iterdir() if p.name not in listed))


def _unsuited(artifact: ArtifactRecord) -> str:
    return (
        f"{artifact.name} is for {artifact.target}; this CPU saturates sums of 8-bit products "
        "and would answer wrongly"
    )


def dump_golden(golden: Golden) -> bytes:
    """Write golden inputs and answers as a compressed .npz, the same bytes every time."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, pixels=golden.pixels, scores=golden.scores)
    return buffer.getvalue()


def parse_golden(data: bytes, manifest: Manifest) -> Golden:
    """Read golden inputs and answers.

    Raises:
        BundleError: the file is malformed or does not fit the manifest.
    """
    name, count, spec = manifest.golden.file.file, manifest.golden.inputs, manifest.spec
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            golden = Golden(arrays["pixels"], arrays["scores"])
    except Exception as err:  # zip, zlib and numpy have one each
        raise BundleError(f"{name}: not readable as golden inputs: {err}") from err
    pixels, scores = golden.pixels, golden.scores
    if pixels.dtype != np.uint8 or pixels.shape != (count, *spec.input_shape):
        raise BundleError(f"{name}: inputs are {pixels.dtype} {pixels.shape}, unlike the spec")
    if scores.dtype != np.float32 or scores.shape != (count, spec.outputs):
        raise BundleError(f"{name}: answers are {scores.dtype} {scores.shape}, unlike the spec")
    return golden
