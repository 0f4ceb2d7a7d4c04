"""How much a quantized model may change."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from cxr_edge.bundle.proofs import Parity
from cxr_edge.errors import UsageError

_ONE_FLIP_IN = 200


@dataclass(frozen=True, slots=True)
class Budget:
    """The largest accepted change, compared with the original model on the same images."""

    max_flips: int | None = None
    """Changed decisions; None: one in 200 images, rounded down, but at least one."""
    max_delta_p: float = 0.05
    """|Difference| of any score, 0..1."""
    max_auc_drop: float = 0.005
    """Loss of area under the ROC curve, 0..1; ignored where labels are unknown."""

    def __post_init__(self) -> None:
        if self.max_flips is not None and self.max_flips < 0:
            raise UsageError(f"--max-flips is {self.max_flips}, expected 0 or more")
        for name, value in (
            ("--max-delta-p", self.max_delta_p),
            ("--max-auc-drop", self.max_auc_drop),
        ):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} is {value}, expected a number within 0..1")

    def flips(self, images: int) -> int:
        """Number of changed decisions that are accepted on this many images."""
        if self.max_flips is not None:
            return self.max_flips
        return max(1, images // _ONE_FLIP_IN)

    def on_golden(self) -> Budget:
        """The budget on golden inputs, where no decision may change."""
        return dataclasses.replace(self, max_flips=0)

    def excess(self, parity: Parity, auc_drop: float | None) -> str:
        """What exceeds the budget, in words; empty: nothing does."""
        excesses = []
        allowed = self.flips(parity.inputs)
        if parity.flips > allowed:
            excesses.append(f"{parity.flips} decisions changed, allowed {allowed}")
        if parity.max_abs_delta > self.max_delta_p:
            excesses.append(
                f"max |Δscore| {parity.max_abs_delta:.2g}, allowed {self.max_delta_p:g}"
            )
        if auc_drop is not None and auc_drop > self.max_auc_drop:
            excesses.append(f"AUC fell by {auc_drop:.2g}, allowed {self.max_auc_drop:g}")
        return "; ".join(excesses)
