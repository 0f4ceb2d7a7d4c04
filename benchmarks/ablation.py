"""Train the robust recipe without its newer levers, with one of them, and with all; then compare.

    python benchmarks/ablation.py train VARIANT SEED DATA OUT
    python benchmarks/ablation.py table OUT DATA
    python benchmarks/ablation.py threshold OUT DATA

``train`` writes ``OUT/VARIANT-SEED`` (a run folder, resumable) of a network of half width, which
takes a third of the time. ``table`` scores the held-out patients and their shifted copies; a
variant of several seeds gets a row for the mean of their scores. ``threshold`` chooses a threshold
by two rules on some held-out patients and measures the recall on others. The test folder is never
opened.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from cxr_edge.cli.output.console import Terminal
from cxr_edge.data.patients import kermany_patient
from cxr_edge.original.keras_model import keras_scores
from cxr_edge.original.opening import load_original
from cxr_edge.original.run_folder import open_run
from cxr_edge.train.evaluation.baseline import explained_share, global_statistics
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.shifts import shifted
from cxr_edge.train.fitting.calibrate import Logits, choose_threshold, fit_temperature
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
                logits[key] = logit(np.stack(scores).clip(1e-7, 1 - 1e-7))
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
        scored = Scored.from_scores(expit(logits[name].T), part.labels, ROBUST.spec)
        share = explained_share(scored, global_statistics(part.pixels), ROBUST.spec)
        row[f"explained, {name}"] = math.nan if share is None else share
    return {"cross-entropy": float(np.mean(losses)), **row}


def runs_of(out: Path) -> list[Path]:
    """Finished runs, by name."""
    return sorted(path.parent for path in out.glob("*/provenance.json"))


def mean_scores(members: Sequence[dict[str, Logits]]) -> dict[str, Logits]:
    """Logits of the mean of several networks' scores."""
    means = {key: np.mean([expit(one[key]) for one in members], axis=0) for key in members[0]}
    return {key: logit(scores.clip(1e-7, 1 - 1e-7)) for key, scores in means.items()}


def print_table(out: Path, data: Path) -> None:
    """A Markdown table: one row a run, then means and standard deviations over seeds."""
    parts = held_out(data)
    logits = {run.name: logits_of(run, parts) for run in runs_of(out)}
    rows = {name: figures(of_run, parts) for name, of_run in logits.items()}
    for variant in variants():
        names = [name for name in logits if name.rpartition("-")[0] == variant]
        if len(names) > 1:
            values = np.array([list(rows[name].values()) for name in names])
            for what, row in (("mean", values.mean(0)), ("deviation", values.std(0, ddof=1))):
                rows[f"{variant}: {what} of {len(names)}"] = dict(
                    zip(rows[names[0]], row.tolist(), strict=True)
                )
            scores = mean_scores([logits[name] for name in names])
            rows[f"{variant}: mean of {len(names)} scores"] = figures(scores, parts)
    heading = list(next(iter(rows.values())))
    print("| run |", " | ".join(heading), "|")
    print("|---" * (len(heading) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} |", " | ".join(f"{value:.4f}" for value in row.values()), "|")


RECALL = 0.97


def least_of_groups(groups: Sequence[tuple[Logits, npt.NDArray[np.bool_]]], recall: float) -> float:
    """The former rule: the least of the groups' own thresholds."""
    return min(choose_threshold([group], recall) for group in groups)


def print_thresholds(out: Path, data: Path) -> None:
    """Recall on patients whom the threshold was not chosen on, by both rules.

    Half of the patients of each part are drawn 200 times, with their shifted copies; the threshold
    is chosen on them and measured on the other half.
    """
    parts = held_out(data)
    rules = {"least of the groups": least_of_groups, "mean of the groups": choose_threshold}
    print(
        "| run | rule | recall PNEUMONIA | 95 % | recall NORMAL | 95 % |\n|---|---|---|---|---|---|"
    )
    for run in runs_of(out):
        logits = logits_of(run, parts)
        measured: dict[str, list[tuple[float, float]]] = {rule: [] for rule in rules}
        for draw in range(200):
            chosen, others = [], []
            for key, table in logits.items():
                part = parts[key.partition(",")[0]]
                names, patient_of = np.unique(
                    [kermany_patient(Path(name)) for name in part.names], return_inverse=True
                )
                # The same half for a part and its copies.
                half = np.random.default_rng([draw, len(names)]).random(len(names)) < 0.5
                for taken, groups in ((half, chosen), (~half, others)):
                    mask = taken[patient_of]
                    groups.append((expit(table[:, mask]), part.labels[mask] == 1))
            for rule, choose in rules.items():
                threshold = choose(chosen, RECALL)
                found = [(scores[:, truth] >= threshold).mean() for scores, truth in others]
                spared = [(scores[:, ~truth] < threshold).mean() for scores, truth in others]
                measured[rule].append((float(np.mean(found)), float(np.mean(spared))))
        for rule, pairs in measured.items():
            (found, spared), low, high = (
                np.mean(pairs, axis=0),
                np.quantile(pairs, 0.025, axis=0),
                np.quantile(pairs, 0.975, axis=0),
            )
            print(
                f"| {run.name} | {rule} | {found:.3f} | {low[0]:.3f} to {high[0]:.3f} | "
                f"{spared:.3f} | {low[1]:.3f} to {high[1]:.3f} |"
            )


def main() -> None:
    """Train one variant, or print a table."""
    tables = {"table": print_table, "threshold": print_thresholds}
    if sys.argv[1] in tables:
        tables[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
        return
    _, _, variant, seed, data, out = sys.argv
    recipe = variants()[variant]
    run = Path(out) / f"{variant}-{seed}"
    train_model(data, run, recipe=recipe, seed=int(seed), reporter=Terminal())


if __name__ == "__main__":
    main()
