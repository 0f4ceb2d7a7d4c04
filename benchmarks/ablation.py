"""Train the robust recipe without its newer levers, with one of them, and with all; then compare.

    python benchmarks/ablation.py train VARIANT SEED DATA OUT
    python benchmarks/ablation.py table OUT DATA

``train`` writes ``OUT/VARIANT-SEED`` (a run folder, resumable) of a network of half width, which
takes a third of the time. ``table`` scores the held-out patients and their shifted copies. The test
folder is never opened.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from cxr_edge.cli.output.console import Terminal
from cxr_edge.data.patients import kermany_patient
from cxr_edge.original.keras_model import keras_scores
from cxr_edge.original.opening import load_original
from cxr_edge.original.run_folder import open_run
from cxr_edge.train.evaluation.baseline import explained_share, global_statistics
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.shifts import shifted
from cxr_edge.train.fitting.calibrate import Logits, fit_temperature
from cxr_edge.train.fitting.data import read_training_data
from cxr_edge.train.fitting.held_out import HeldOut
from cxr_edge.train.recipe import ROBUST, TrainingRecipe
from cxr_edge.train.settings import Acquisition
from cxr_edge.train.stage import train_model

WIDTH = 0.5


def variants() -> dict[str, TrainingRecipe]:
    """Every variant by name; all hold out the same patients."""
    levers = ROBUST.augmentation.acquisition
    assert levers is not None
    noise_off: dict[str, float] = {"speckle": 0.0, "quanta": 0.0, "salt": 0.0}

    def with_levers(acquisition: Acquisition, *, averaged: bool) -> TrainingRecipe:
        return dataclasses.replace(
            ROBUST,
            width=WIDTH,
            opens_test=False,
            augmentation=dataclasses.replace(ROBUST.augmentation, acquisition=acquisition),
            averaging=ROBUST.averaging if averaged else None,
        )

    plain = dataclasses.replace(levers, exposure=0.0, **noise_off)
    return {
        "plain": with_levers(plain, averaged=False),
        "noise": with_levers(dataclasses.replace(levers, exposure=0.0), averaged=False),
        "exposure": with_levers(dataclasses.replace(levers, **noise_off), averaged=False),
        "averaged": with_levers(plain, averaged=True),
        "all": with_levers(levers, averaged=True),
    }


def held_out(data: Path) -> dict[str, HeldOut]:
    """Validation and block, the same for every variant and seed."""
    images = read_training_data(
        data,
        ROBUST,
        seed=1,
        group_of=kermany_patient,
        use_val_folder=False,
        reporter=Terminal(),
    )
    return dict(zip(("validation", "block"), images.held_out, strict=True))


def logits_of(run: Path, parts: dict[str, HeldOut]) -> dict[str, Logits]:
    """Logits of P(PNEUMONIA): (1, N) of each part, (10, N) of its shifts; kept beside the run."""
    cache = run / "logits.npz"
    if not cache.exists():
        opened = open_run(run)
        original = load_original(opened.model, opened.spec, reporter=Terminal())
        logits = {}
        for name, part in parts.items():
            pictures = {name: [part.pixels]}
            pictures[f"{name}, shifted"] = [changed for _, changed in shifted(part.pixels)]
            for key, variants_of in pictures.items():
                scores = [
                    keras_scores(original.model, pixels, opened.spec)[:, 0].astype(np.float64)
                    for pixels in variants_of
                ]
                table = np.stack(scores).clip(1e-7, 1 - 1e-7)
                logits[key] = np.log(table / (1 - table))
        np.savez(cache, **logits)
    return dict(np.load(cache))


def figures(logits: dict[str, Logits], parts: dict[str, HeldOut]) -> dict[str, float]:
    """What is compared: by part and, for the copies, the mean over the shifts."""
    groups = [(logits[key], parts[key.partition(",")[0]].labels) for key in logits]
    temperature, offset = fit_temperature([*groups])
    row: dict[str, float] = {}
    losses = []
    for key, (table, labels) in zip(logits, groups, strict=True):
        sign = np.where(labels == 1, 1.0, -1.0)
        losses.append(np.logaddexp(0, -sign * (table / temperature + offset)).mean())
        row[f"AUC, {key}"] = float(np.mean([roc_auc_score(labels, copy) for copy in table]))
        thresholds = np.quantile(table[:, labels == 1], 0.03, axis=1)
        recalls = (table[:, labels == 0] < thresholds[:, np.newaxis]).mean(axis=1)
        row[f"recall NORMAL, {key}"] = float(recalls.mean())
    for name, part in parts.items():
        scored = Scored.from_scores(1 / (1 + np.exp(-logits[name].T)), part.labels, ROBUST.spec)
        share = explained_share(scored, global_statistics(part.pixels), ROBUST.spec)
        row[f"explained, {name}"] = math.nan if share is None else share
    return {"cross-entropy": float(np.mean(losses)), **row}


def print_table(out: Path, data: Path) -> None:
    """A Markdown table, one row a run."""
    parts = held_out(data)
    heading: list[str] = []
    for run in sorted(path.parent for path in out.glob("*/provenance.json")):
        row = figures(logits_of(run, parts), parts)
        if not heading:
            heading = list(row)
            print("| run |", " | ".join(heading), "|")
            print("|---" * (len(heading) + 1) + "|")
        print(f"| {run.name} |", " | ".join(f"{value:.4f}" for value in row.values()), "|")


def main() -> None:
    """Train one variant, or print the table."""
    if sys.argv[1] == "table":
        print_table(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    _, _, variant, seed, data, out = sys.argv
    recipe = variants()[variant]
    run = Path(out) / f"{variant}-{seed}"
    train_model(data, run, recipe=recipe, seed=int(seed), reporter=Terminal())


if __name__ == "__main__":
    main()
