"""The float32 file of each format: converted once, and proven before any search.

A quantized file may differ from the original by its budget. That budget is for quantization alone:
if the float32 file of the same network and format is wrong, the converter is at fault, and neither
another recipe nor a larger budget makes it right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from cxr_edge.decision import Scores
from cxr_edge.engines import Format, open_engine
from cxr_edge.errors import CxrEdgeError, EngineError, ExportError, ParityError
from cxr_edge.export.artifacts import KINDS, ROUNDING, ArtifactKind, QuantizedConversion
from cxr_edge.export.machine import proving_engines
from cxr_edge.preprocess import Batch
from cxr_edge.spec import ModelSpec

Sets = Callable[[], Iterable[tuple[str, Batch, Scores]]]
"""What to call images, the images, and the original's scores."""


class FloatFiles:
    """Converts each float32 kind once; knows which formats convert the network wrongly."""

    def __init__(
        self, convert: Callable[[ArtifactKind], bytes], sets: Sets, spec: ModelSpec
    ) -> None:
        """Prepare.

        Args:
            convert: makes the file of a float kind, with its metadata.
            sets: the images to check files on.
            spec: the contract.
        """
        self._convert, self._sets, self._spec = convert, sets, spec
        self._files: dict[ArtifactKind, bytes] = {}
        self._errors: dict[Format, CxrEdgeError | None] = {}

    def file(self, kind: ArtifactKind) -> bytes:
        """The file of a float kind.

        Raises:
            ExportError: the converter failed.
        """
        if kind not in self._files:
            self._files[kind] = self._convert(kind)
        return self._files[kind]

    def check(self, format: Format, asked: Iterable[ArtifactKind]) -> None:
        """Prove the float32 file of a format; the outcome is remembered.

        Args:
            format: of the files.
            asked: the kinds to write: the float32 one among them is taken.

        Raises:
            ExportError: the converter failed.
            ParityError: its file differs from the original by more than rounding.
        """
        if format not in self._errors:
            plain = KINDS[f"{format}-fp32"]
            kind = next((k for k in asked if k.name == plain.name), plain)
            try:
                self._prove(kind)
            except ExportError as err:
                self._errors[format] = err
            else:
                self._errors[format] = None
        if error := self._errors[format]:
            raise error

    def _prove(self, kind: ArtifactKind) -> None:
        engine = proving_engines(kind.name, kind.format)[0]
        data = self.file(kind)
        for name, batch, expected in self._sets():
            try:
                scores = open_engine(engine, data, self._spec).run(batch)
            except EngineError as err:
                raise ParityError(f"in float32, before any quantization: {err}") from err
            delta = float(np.abs(scores.astype(np.float64) - expected).max())
            if not delta <= ROUNDING.max_delta_p:
                raise ParityError(
                    f"the {kind.format} converter changes this network: in float32, before any "
                    f"quantization, scores differ by {delta:.2g} on {len(batch)} {name}, allowed "
                    f"{ROUNDING.max_delta_p:g}; no budget mends that"
                )


def needs_check(kind: ArtifactKind) -> bool:
    """Whether a kind's budget could hide a wrong conversion: it is wider than rounding."""
    conversion = kind.conversion
    return isinstance(conversion, QuantizedConversion) or conversion.budget is None
