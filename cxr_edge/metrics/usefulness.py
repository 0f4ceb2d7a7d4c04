"""Whether a classifier is worth exporting at all: training, evaluation and export ask here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LEAST_AUC = 0.6
"""A smaller area under the ROC curve is too close to the .5 of guessing."""
ORDERING_AUC = 0.8
"""From this AUC on, a model may be less accurate than the commonest label: it separates the labels,
and its threshold was chosen for sensitivity."""

_LONGEST_NAME = 40


def why_useless(
    labels: npt.NDArray[np.integer],
    decisions: npt.NDArray[np.integer],
    auc: float | None,
    *,
    names: Sequence[str],
) -> str | None:
    """Explain why a model's decisions are worth nothing.

    Args:
        labels: (N,) the truth, indices into ``names``; at least two of them occur.
        decisions: (N,) what the model decided, indices into ``names``.
        auc: area under the ROC curve, 0..1; for more than two labels the mean of one against the
            rest. None: unknown.
        names: of the labels, in output order.

    Returns:
        One sentence without a full stop, at most 200 characters; None: the model is of some use.
    """
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (labels, decisions), 1)
    return why_confusion_useless(confusion.tolist(), auc, names=names)


def why_confusion_useless(
    confusion: Sequence[Sequence[int]], auc: float | None, *, names: Sequence[str]
) -> str | None:
    """As :func:`why_useless`, from confusion[i][j]: images of label i decided as label j."""
    counts = np.asarray(confusion)
    images = int(counts.sum())
    support, decided = counts.sum(axis=1), counts.sum(axis=0)
    if images == 0 or np.count_nonzero(support) < 2:
        return None  # images of one label show nothing of a classifier
    if decided.max() == images:
        only = names[int(decided.argmax())]
        return f"the model decides {_short(only)} for all {images:,} images"
    if auc is not None and auc < LEAST_AUC:
        return f"the AUC is {auc:.3f}, below {LEAST_AUC:g}: the model does little more than guess"
    right, commonest = int(np.trace(counts)), int(support.max())
    if right < commonest and (auc is None or auc < ORDERING_AUC):
        return (
            f"the model is right on {right:,} of {images:,} images; always saying "
            f"{_short(names[int(support.argmax())])} would be right on {commonest:,}"
        )
    return None


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
