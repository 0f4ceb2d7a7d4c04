"""Builds what was asked for; each file stands alone.

What holds its budget is kept. What does not is named with its figures, and the others go on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

from cxr_edge.errors import ExportError, ParityError
from cxr_edge.export.artifacts import KINDS, ArtifactKind, HeatmapConversion
from cxr_edge.export.builder import ArtifactBuilder
from cxr_edge.export.drafts import BuiltArtifact
from cxr_edge.export.report import FailedArtifact
from cxr_edge.reporting import Reporter

MOST_CHARACTERS = 300
"""Of a line that says why a file is missing."""
_FALLBACKS = ("onnx-fp32", "tflite-fp32")
"""One of these is in every bundle that was not asked for by names alone."""

T = TypeVar("T")


class ArtifactSet:
    """The files of one export, those that failed included."""

    def __init__(self, builder: ArtifactBuilder, named: frozenset[str], reporter: Reporter) -> None:
        """Prepare.

        Args:
            builder: builds and proves one file.
            named: kinds that were asked for by name; these have no replacement.
            reporter: says what is missing.
        """
        self._builder, self._named, self._reporter = builder, named, reporter
        self.artifacts: tuple[BuiltArtifact, ...] = ()
        """Files that passed the gate, the preferred one first."""
        self._errors: dict[str, tuple[ArtifactKind, ExportError]] = {}

    @property
    def failed(self) -> tuple[FailedArtifact, ...]:
        """Files that were asked for and are missing."""
        return tuple(
            FailedArtifact(name, name in self._named, _line(name, err), self._builder.trials(kind))
            for name, (kind, err) in self._errors.items()
        )

    def build(self, kinds: Sequence[ArtifactKind]) -> None:
        """Build and prove kinds.

        Raises:
            ExportError: none of them holds.
        """
        possible = self._possible(kinds)
        self._builder.prepare_search(possible)
        for kind in possible:
            self._attempt(kind, functools.partial(self._builder.check_float, kind, possible))
        right = [kind for kind in possible if kind.name not in self._errors]
        drafts = [
            draft
            for kind in right
            if (draft := self._attempt(kind, functools.partial(self._builder.build, kind)))
        ]
        self._builder.settle_golden(drafts)
        built = [self._attempt(d.kind, functools.partial(self._builder.prove, d)) for d in drafts]
        artifacts = [artifact for artifact in built if artifact]
        artifacts += self._fallbacks(kinds, artifacts)
        order = list(KINDS)
        self.artifacts = tuple(sorted(artifacts, key=lambda a: order.index(a.kind.name)))
        for missing in self.failed:
            self._reporter.say(f"{'missing' if missing.named else 'left out'}: {missing.why}")
        if not self.artifacts:
            raise self._nothing()

    def _possible(self, kinds: Sequence[ArtifactKind]) -> list[ArtifactKind]:
        """The kinds that this network allows, or their replacements, each once."""
        possible = []
        for kind in kinds:
            try:
                self._builder.check_possible(kind)
            except ExportError as err:
                if isinstance(kind.conversion, HeatmapConversion) and kind.name not in self._named:
                    self._reporter.say(f"no heat map: {err}")
                    possible.append(KINDS[kind.conversion.fallback])
                else:
                    self._errors[kind.name] = kind, err
            else:
                possible.append(kind)
        return list(dict.fromkeys(possible))

    def _fallbacks(
        self, kinds: Sequence[ArtifactKind], artifacts: Sequence[BuiltArtifact]
    ) -> list[BuiltArtifact]:
        """What a set of files needs so that every machine can run one of them."""
        sets = [kind for kind in kinds if kind.name not in self._named]
        wanted = [
            kind.conversion.fallback
            for kind in sets
            if isinstance(kind.conversion, HeatmapConversion) and kind.name in self._errors
        ]
        if sets and not any(a.kind.precision == "fp32" for a in artifacts):
            wanted += _FALLBACKS
        tried = {*self._errors, *(artifact.kind.name for artifact in artifacts)}
        for name in dict.fromkeys(wanted):
            step = functools.partial(self._whole, KINDS[name])
            if name not in tried and (artifact := self._attempt(KINDS[name], step)):
                return [artifact]
        return []

    def _whole(self, kind: ArtifactKind) -> BuiltArtifact:
        return self._builder.prove(self._builder.build(kind))

    def _attempt(self, kind: ArtifactKind, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except ExportError as err:
            self._errors[kind.name] = kind, err
            return None

    def _nothing(self) -> ExportError:
        """The error of an export of which nothing holds."""
        # What a float32 file lacks, the others lack too.
        name, (_, err) = min(self._errors.items(), key=lambda item: item[1][0].precision != "fp32")
        others = [other for other in self._errors if other != name]
        tail = f"; {', '.join(others)} failed too" if others else ""
        error = ParityError if isinstance(err, ParityError) else ExportError
        return error(_line(name, err, f"{tail}; nothing was written"))


def _line(name: str, err: ExportError, tail: str = "") -> str:
    """What happened to a kind, and a tail, within :data:`MOST_CHARACTERS`."""
    text = str(err) if str(err).startswith(name) else f"{name}: {err}"
    room = MOST_CHARACTERS - len(tail)
    return (text if len(text) <= room else f"{text[: room - 1]}…") + tail
