"""Proves a file whose arithmetic the exporting machine does not have, by computing it step by step.

What the engines of an x86 CPU make of 16-bit arithmetic is several times closer to the original
than what an ARMv8.2 core makes of it, so their scores prove that the file is the right network and
no more. The manifest gets the figures of the emulation, marked so; ``verify`` on a device that has
the arithmetic is the proof.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.data.patients import Grouping
from cxr_edge.decision import Scores
from cxr_edge.device.machine import has_float16_arithmetic
from cxr_edge.export.artifacts import ArtifactKind
from cxr_edge.export.gate import EngineProof, ParityImages, prove_scores
from cxr_edge.export.graph.float16 import run_in_float16
from cxr_edge.export.graph.graph import Graph
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.preprocess import Batch
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

MARGIN = 2.0
"""The emulation must hold the tolerance divided by this: a device adds in another order in places,
so that the largest difference is another image's (figures: docs/quantization.md)."""


def needs_emulation(kind: ArtifactKind) -> bool:
    """Whether a kind's parity must be computed by emulation on this machine."""
    return kind.is_emulated and not has_float16_arithmetic()


def prove_emulated(
    graph: Graph,
    kind: ArtifactKind,
    proofs: tuple[EngineProof, ...],
    tolerance: float,
    golden: ParityImages,
    near: GoldenSet | None,
    spec: ModelSpec,
    group_of: Grouping,
    reporter: Reporter,
) -> tuple[EngineProof, ...]:
    """Replace what this machine's engines measured by what 16-bit arithmetic gives.

    Args:
        graph: the network that the file was converted from.
        kind: the file.
        proofs: of the same file on this machine's engines.
        tolerance: largest |difference| that a device will accept on golden inputs.
        golden: the golden inputs.
        near: inputs near a change of decision; None: the original has none.
        spec: the contract.
        group_of: which images show the same patient.
        reporter: shows progress.

    Returns:
        A proof for each engine, without the images of ``--data``.

    Raises:
        ParityError: a decision changes, or a score differs by more than half the tolerance.
    """
    total = len(golden.scores) + (len(near.scores) if near else 0)
    done = 0

    def run(batch: Batch) -> Scores:
        nonlocal done
        scores = []
        for index in range(len(batch)):
            scores.append(run_in_float16(graph, batch[index : index + 1]))
            done += 1
            advance(done, total)
        return np.concatenate(scores)

    with reporter.bar(f"{kind.name}: emulating 16-bit arithmetic") as advance:
        emulated = prove_scores(
            proofs[0].engine,
            run,
            f"{kind.name} in emulated 16-bit arithmetic",
            kind,
            {"golden": Budget(max_flips=0, max_delta_p=tolerance / MARGIN)},
            (golden,),
            spec,
            group_of,
            (near, None),
        )
    return tuple(
        dataclasses.replace(emulated, engine=proof.engine, emulated=True) for proof in proofs
    )
