"""A bundle: a folder with a manifest and the files that it lists, read and checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_edge.bundle.bundled import find_folder, similar_name
from cxr_edge.bundle.manifest import (
    MANIFEST_NAME,
    MAX_FILE_BYTES,
    MAX_MANIFEST_BYTES,
    ArtifactRecord,
    FileRecord,
    Manifest,
    parse_manifest,
)
from cxr_edge.bundle.preference import in_order_of_preference
from cxr_edge.domain import Domain, parse_domain
from cxr_edge.engines import ENGINES, Engine, installed_engines, open_engine, why_unsuited
from cxr_edge.errors import BundleError, EngineError, MissingExtraError, UsageError, unknown_name
from cxr_edge.files import printable, read_file, sha256, why
from cxr_edge.records import dataclass
from cxr_edge.reporting import notice

if TYPE_CHECKING:  # a prediction needs none of these
    from cxr_edge.bundle.golden import GoldenSet
    from cxr_edge.data.samples import Samples


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose manifest was read and checked; each file is hashed when it is read."""

    folder: Path
    """The folder with ``manifest.json``."""
    manifest: Manifest
    """The content of ``manifest.json``."""

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str] | None = None,
        *,
        key: str | os.PathLike[str] | None = None,
    ) -> Bundle:
        """Read a bundle's manifest.

        Args:
            folder: the bundle, a symbolic link to it, or the name of a model of the package
                (``compact``); None: the package's ``reference``.
            key: file of the public key that it must be signed for; None: it need not be signed.

        Raises:
            BundleError: the manifest is absent, malformed, changed, a symbolic link, of a newer
                format, or not signed for ``key``.
            UsageError: ``key`` is no public key.
            MissingExtraError: there is a key, and ``cryptography`` is not installed.
        """
        path = find_folder(folder)
        name = path / MANIFEST_NAME
        _refuse_link(name)
        try:
            exists = name.exists()
        except OSError as err:  # a name too long, a folder that may not be searched
            raise BundleError(f"{printable(path)}: cannot be opened: {why(err)}") from err
        if not exists:
            raise BundleError(_no_bundle(path))
        data = read_file(
            name, max_bytes=MAX_MANIFEST_BYTES, error=BundleError, follow_symlinks=False
        )
        opened = cls(path, parse_manifest(data, printable(name)))
        if key is not None:
            from cxr_edge.bundle.signature import check_signature  # most devices have no key

            check_signature(path, data, opened.manifest.sha256, Path(key))
        return opened

    def read(self, record: FileRecord) -> bytes:
        """Read one file and check it against the manifest.

        Raises:
            BundleError: it is absent, changed, or a symbolic link.
        """
        path = self.folder / record.file
        _refuse_link(path)
        data = read_file(
            path,
            max_bytes=MAX_FILE_BYTES,
            error=BundleError,
            follow_symlinks=False,
            expected_bytes=record.bytes,
        )
        digest = sha256(data)
        if digest != record.sha256:
            raise BundleError(
                f"{printable(path)}: sha256 is {digest[:8]}…, {MANIFEST_NAME} says "
                f"{record.sha256[:8]}…; the file changed after export, export again or restore it"
            )
        return data

    def is_replaced(self) -> bool:
        """Whether another bundle has been committed to the folder since this one was opened."""
        try:
            return Bundle.open(self.folder).manifest.sha256 != self.manifest.sha256
        except BundleError:
            return False

    def artifact(self, name: str) -> ArtifactRecord:
        """Find an artifact by name.

        Raises:
            UsageError: there is none; the message names the nearest one.
        """
        names = [artifact.name for artifact in self.manifest.artifacts]
        if name not in names:
            raise unknown_name("artifact", name, names)
        return self.manifest.artifacts[names.index(name)]

    def choose(
        self, artifact: str | None, engine: str | None, *, heatmap: bool = False
    ) -> tuple[ArtifactRecord, str]:
        """Pick the artifact and engine to run.

        An artifact whose integer arithmetic this CPU gets wrong is passed over, with one line in
        the log ``cxr_edge``.

        Args:
            artifact: a name, or None for the one that this machine prefers, by
                :mod:`cxr_edge.bundle.preference`, of those that an installed engine runs.
            engine: a name, or None for the first installed one that the artifact was proven on.
            heatmap: whether it must have a heat map.

        Raises:
            UsageError: a name does not exist, or nothing in the bundle matches both or has a heat
                map.
            MissingExtraError: what matches needs an engine that is not installed.
            EngineError: the artifact is not for this machine.
        """
        if engine is not None and engine not in ENGINES:
            raise unknown_name("engine", engine, ENGINES)
        proven = in_order_of_preference(self._candidates(artifact, heatmap))
        wanted = [pair for pair in proven if engine in (None, pair[1])]
        if not wanted:
            pairs = ", ".join(f"{candidate.name} on {name}" for candidate, name in proven)
            raise UsageError(
                f"{artifact or 'the bundle'} was not proven on {engine}, only: {pairs}"
            )
        installed = installed_engines()
        runnable = [pair for pair in wanted if pair[1] in installed]
        if not runnable:
            first, first_engine = wanted[0]
            needed = ", ".join(dict.fromkeys(name for _, name in wanted))
            raise MissingExtraError(
                f"{first.name} runs on {needed}, not installed here; "
                f"{ENGINES[first_engine].install} brings it"
            )
        suitable = [pair for pair in runnable if not why_unsuited(pair[0].target)]
        if not suitable:
            raise EngineError(_unsuited(runnable[0][0]))
        if suitable[0] != runnable[0]:
            notice(f"{_unsuited(runnable[0][0])}; {suitable[0][0].name} runs instead")
        return suitable[0]

    def _candidates(self, name: str | None, heatmap: bool) -> tuple[ArtifactRecord, ...]:
        """The artifacts to choose from, in the manifest's order."""
        artifacts = self.manifest.artifacts if name is None else (self.artifact(name),)
        if not heatmap:
            return artifacts
        explaining = tuple(artifact for artifact in artifacts if artifact.has_heatmap)
        if not explaining:
            raise UsageError(f"{name or 'the bundle'} has no heat map; {self._heatmap_advice()}")
        return explaining

    def _heatmap_advice(self) -> str:
        """What to do where a heat map is asked of an artifact that has none."""
        artifacts = self.manifest.artifacts
        if explaining := [artifact.name for artifact in artifacts if artifact.has_heatmap]:
            return f"{', '.join(explaining)} has one"
        if self.manifest.spec.positive_label is None:
            return "there are none for more than two labels"
        names = ",".join(["onnx-explain", *(artifact.name for artifact in artifacts)])
        return (
            f"'cxr-edge export MODEL --artifacts {names}' makes a bundle that has one, where the "
            "network allows one"
        )

    def load(self, artifact: ArtifactRecord, engine: str, *, threads: int = 1) -> Engine:
        """Hash an artifact and hand its bytes to an engine, which opens no file itself.

        Read what else is needed, such as :meth:`domain`, before: then a changed file is found
        before a session exists.

        Raises:
            BundleError: the file is absent or changed.
            MissingExtraError: the engine is not installed.
            EngineError: the engine refuses the file, or it does not fit the spec.
        """
        data, spec = self.read(artifact.file), self.manifest.spec
        return open_engine(engine, data, spec, threads=threads, outputs=artifact.outputs)

    def golden(self) -> GoldenSet:
        """Read the golden inputs and the original model's scores.

        Raises:
            BundleError: the file is absent, changed or malformed.
        """
        from cxr_edge.bundle.golden import parse_golden

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
        """Read the statistics of the training images; None where the bundle holds none.

        Raises:
            BundleError: the file is absent, changed or malformed.
        """
        record = self.manifest.domain
        return parse_domain(self.read(record), record.file, BundleError) if record else None

    def card_is_current(self) -> bool:
        """Whether ``MODEL_CARD.md`` can be read and says what the manifest says."""
        from cxr_edge.bundle.model_card import CARD_NAME, model_card  # not needed to predict

        path = self.folder / CARD_NAME
        try:
            _refuse_link(path)
            data = read_file(
                path, max_bytes=MAX_MANIFEST_BYTES, error=BundleError, follow_symlinks=False
            )
        except BundleError:  # no decision depends on it
            return False
        return data == model_card(self.manifest).encode()

    def unlisted(self) -> tuple[str, ...]:
        """Names in the folder that the manifest does not list, sorted."""
        from cxr_edge.bundle.model_card import CARD_NAME
        from cxr_edge.bundle.signature import signature_name

        listed = {MANIFEST_NAME, CARD_NAME, signature_name(self.manifest.sha256)}
        listed |= {record.file for record in self.manifest.files}
        return tuple(sorted(p.name for p in self.folder.iterdir() if p.name not in listed))


def _unsuited(artifact: ArtifactRecord) -> str:
    return f"{artifact.name} is for {artifact.target}; {why_unsuited(artifact.target)}"


def _refuse_link(path: Path) -> None:
    """Say why a symbolic link is refused; opening the file would only say "too many levels"."""
    try:
        is_link = path.is_symlink()
    except OSError:  # reading it will say why
        return
    if is_link:
        raise BundleError(
            f"{printable(path)}: a symbolic link, which may point out of the bundle; expected the "
            "file itself (the bundle's folder may be a link)"
        )


def _no_bundle(path: Path) -> str:
    """Say what a path is that holds no manifest, and what to do."""
    name = f"{printable(path)}: no bundle here"
    export = f"run 'cxr-edge export {printable(path)} -o bundle', then name the bundle"
    if path.suffix in (".keras", ".h5"):
        return f"{name} but a Keras model; {export}"
    if (path / "model.keras").exists():
        return f"{name} but the run folder of a training; {export}"
    if path.suffix in (".onnx", ".tflite", ".ncnn"):
        return f"{name} but one model file; name its folder, {printable(path.parent)}"
    if path.is_file():
        return f"{name} but a file; name the folder that 'cxr-edge export' wrote"
    if not path.exists():
        similar = similar_name(path)
        hint = f"did you mean {similar}, a model of the package?" if similar else "check the path"
        return f"{name}, no such folder; {hint}"
    return f"{name} ({MANIFEST_NAME} is missing); name the folder that 'cxr-edge export' wrote"
