"""What was measured at export, as the manifest records it."""

from __future__ import annotations

from cxr_edge.documents import since
from cxr_edge.engines import ENGINES
from cxr_edge.errors import BundleError
from cxr_edge.records import dataclass
from cxr_edge.spec import Decoding


@dataclass(frozen=True, slots=True)
class Parity:
    """How far an exported model's scores are from the original's, on the same inputs."""

    inputs: int
    """How many inputs were compared."""
    max_abs_delta: float
    """Largest |difference| of any output, 0..1."""
    mean_abs_delta: float
    """Mean |difference| of the outputs, 0..1."""
    p99_abs_delta: float
    """99th percentile of |difference| of the outputs, 0..1."""
    flips: int
    """Inputs whose decision changes at the spec's threshold."""


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """How closely an artifact reproduced the original model on one engine."""

    engine: str
    """Name of the engine."""
    tolerance: float
    """Largest |difference| that ``verify`` accepts, 0..1; it never accepts a changed decision."""
    golden: Parity
    """Measured at export on the golden inputs."""
    data: Parity | None
    """Measured at export on the images given by ``--data``; null: none were given."""
    fast: Parity | None = since("2.1", None)
    """As ``data``, but the engine got the images by fast decoding and the original by exact; null:
    no pixel of them changes."""

    emulated: bool = since("2.1", False)
    """Whether ``golden`` was computed by an emulation of the arithmetic that the exporting machine
    lacks: then only ``verify`` on a device that has it proves parity."""

    @property
    def parities(self) -> tuple[tuple[str, Parity | None], ...]:
        """Each measurement with what tables call its inputs."""
        golden = "golden, emulated" if self.emulated else "golden"
        return ((golden, self.golden), ("images", self.data), ("images, fast", self.fast))

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise BundleError(f"no engine is called {self.engine!r}; update cxr-edge")
        if not 0 <= self.tolerance <= 1:
            raise BundleError(f"{self.engine}: tolerance is {self.tolerance}, expected 0..1")


@dataclass(frozen=True, slots=True)
class DecodingRecord:
    """What fast decoding changes on the images of ``--data``."""

    default: Decoding
    """How the runtime decodes unless it is told otherwise."""
    images: int
    """How many images were read both ways."""
    changed: int
    """How many of them differ in a pixel; 0: nothing was measured."""
    original: Parity
    """Scores of the original model on both readings; without quantization, so by decoding alone."""
    reason: str
    """Why the default is ``exact``: what exceeds the budget; empty: nothing does."""

    @property
    def summary(self) -> str:
        """What was measured, and what follows, in one line."""
        if not self.changed:
            return f"fast decoding changes no pixel of the {self.images} images of --data"
        original = self.original
        measured = (
            f"pixels of {self.changed} of {self.images} images of --data change, scores of the "
            f"original by {original.mean_abs_delta:.1e} on average and "
            f"{original.max_abs_delta:.1e} at most, and {original.flips} decisions"
        )
        if self.reason:
            return f"exact decoding is the default: fast, {self.reason}; {measured}"
        return f"fast decoding: {measured}"
