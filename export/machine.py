"""What this machine can prove: the engines it has, and the arithmetic they compute in."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_edge.engines import ENGINES, Format, installed_engines, why_unsuited
from cxr_edge.errors import MissingExtraError, ParityError
from cxr_edge.export.artifacts import ArtifactKind


def proving_engines(kind_name: str, format: Format) -> tuple[str, ...]:
    """The installed engines that run a format, the preferred one first.

    Raises:
        MissingExtraError: there is none, so parity cannot be measured.
    """
    candidates = [name for name, info in ENGINES.items() if format in info.formats]
    installed = tuple(name for name in candidates if name in installed_engines())
    if not installed:
        raise MissingExtraError(
            f"{kind_name} cannot be proven: {', '.join(candidates)} is not installed here; "
            f"{ENGINES[candidates[0]].install} brings it"
        )
    return installed


def check_machine(kinds: Sequence[ArtifactKind]) -> None:
    """Refuse, before any work is done, kinds whose parity cannot be measured on this machine.

    Raises:
        ParityError: all of them are made for machines with other integer arithmetic.
        MissingExtraError: no engine for one of them is installed.
    """
    unsuited = []
    for kind in kinds:
        proving_engines(kind.name, kind.format)
        try:
            check_suited(kind)
        except ParityError as err:
            unsuited.append(err)
    if unsuited and len(unsuited) == len(kinds):
        raise unsuited[0]


def check_suited(kind: ArtifactKind) -> None:
    """Refuse a kind that is made for machines with other integer arithmetic.

    Raises:
        ParityError: it is.
    """
    reason = why_unsuited(kind.target)
    if reason and not kind.is_emulated:
        raise ParityError(
            f"{kind.name} is for {kind.target} and cannot be proven here: {reason}; export it on "
            "such a machine, or take onnx-int8, which is right everywhere"
        )
