"""What the rows answer to the inputs, as the plots need it."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_edge.benchmark.images import Inputs
from cxr_edge.benchmark.lines import Line
from cxr_edge.benchmark.report import Answers, Truth
from cxr_edge.decision import decide, positive_scores, probabilities
from cxr_edge.spec import ModelSpec


def collect_answers(lines: Sequence[Line], inputs: Inputs, spec: ModelSpec) -> tuple[Answers, ...]:
    """What our rows answer with one thread, beside the original."""
    original = probabilities(inputs.scores, spec)
    found = []
    for line in lines:
        if line.scores is None or line.candidate.kind != "exported" or line.candidate.threads > 1:
            continue
        exported = probabilities(line.scores, spec)
        found.append(
            Answers(
                row=line.candidate.name,
                original=tuple(positive_scores(original, spec).round(7).tolist()),
                exported=tuple(positive_scores(exported, spec).round(7).tolist()),
                flipped=tuple((decide(original, spec) != decide(exported, spec)).tolist()),
            )
        )
    return tuple(found)


def collect_truth(inputs: Inputs, spec: ModelSpec) -> Truth | None:
    """Which inputs show the positive label; None where that is not known."""
    if inputs.labels is None or spec.positive_label is None:
        return None
    positive = spec.labels.index(spec.positive_label)
    return Truth(tuple((inputs.labels == positive).tolist()))
