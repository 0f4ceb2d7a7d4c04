"""``cxr-edge verify`` and ``info``: whether a bundle works on this device, and what it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr_edge.cli.tables import Cell, Column, Style, Styled, print_table, stream_table
from cxr_edge.errors import MissingExtraError, ParityError
from cxr_edge.files import printable

if TYPE_CHECKING:
    from cxr_edge.bundle.manifest import ArtifactRecord, Manifest
    from cxr_edge.bundle.verify import Outcome, Verdict

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[BUNDLE]", help="Folder of an export; the bundled reference by default."
    ),
]

_OUTCOME_STYLES: dict[Outcome, Style] = {
    "proven": "good",
    "failed": "bad",
    "not-installed": "faint",
    "not-for-this-cpu": "faint",
}


def verify(folder: Folder = None) -> None:
    """Check on this device that every exported model makes the same decisions as the original.

    Checks the hash of every file, then runs the golden inputs through every model file on every
    installed engine and compares the scores with the Keras model's. Needs no TensorFlow.
    """
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.bundle.verify import verify as verify_bundle

    bundle = Bundle.open(folder)
    verdicts: list[Verdict] = []

    def rows() -> Iterator[list[Cell]]:
        for verdict in verify_bundle(bundle):
            verdicts.append(verdict)
            yield _verdict_row(verdict)

    columns = [
        Column("artifact", 21),
        Column("engine", 11),
        Column("outcome", 13),
        Column("max |d|", align="right"),
        Column("allowed", align="right"),
        Column("flips"),
    ]
    stream_table(columns, rows())
    if not bundle.card_is_current():
        print(
            "cxr-edge: MODEL_CARD.md was changed, or another version of cxr-edge wrote it",
            file=sys.stderr,
        )
    for name in bundle.unlisted():
        print(f"cxr-edge: {printable(name)}: is not listed by the manifest", file=sys.stderr)
    if failed := [verdict for verdict in verdicts if verdict.outcome == "failed"]:
        raise ParityError("; ".join(f"{v.artifact} on {v.engine}: {v.reason}" for v in failed))
    if not any(verdict.outcome == "proven" for verdict in verdicts):
        raise MissingExtraError(
            "nothing could be checked: no engine for these files is installed; "
            "see 'cxr-edge doctor'"
        )
    print(_conclusion(verdicts), file=sys.stderr)


def _conclusion(verdicts: list[Verdict]) -> str:
    """One sentence: which files make the original's decisions here, and which were not checked."""
    checked = dict.fromkeys(v.artifact for v in verdicts if v.outcome == "proven")
    others = dict.fromkeys(v.artifact for v in verdicts if v.artifact not in checked)
    text = f"{', '.join(checked)}: the same decisions as the original model on this machine"
    if others:
        text += f"; not checked: {', '.join(others)}"
    return text


def _verdict_row(verdict: Verdict) -> list[Cell]:
    outcome = Styled(verdict.outcome, _OUTCOME_STYLES[verdict.outcome])
    figures = ["", "", ""]
    if verdict.parity:
        figures = [
            f"{verdict.parity.max_abs_delta:.1e}",
            f"{verdict.tolerance:.0e}",
            f"{verdict.parity.flips} of {verdict.parity.inputs}",
        ]
    return [verdict.artifact, verdict.engine, outcome, *figures]


def info(folder: Folder = None) -> None:
    """Show what a bundle is: its intended use, input and labels, files, origin and figures."""
    from cxr_edge.bundle.reader import Bundle

    manifest = Bundle.open(folder).manifest
    print_table(
        [Column(), Column()],
        [[Styled(name, "faint"), text] for name, text in _description(manifest)],
    )
    print()
    columns = [
        Column("artifact"),
        Column("bytes", align="right"),
        Column("proven on (max |d| from Keras, flips)"),
    ]
    print_table(columns, [_artifact_row(artifact) for artifact in manifest.artifacts])


def _description(manifest: Manifest) -> list[tuple[str, str]]:
    from cxr_edge.bundle.model_card import figures_text

    spec, provenance = manifest.spec, manifest.provenance
    rows = [
        ("notice", manifest.notice),
        ("model", spec.name),
        ("input", spec.input.summary),
        ("labels", ", ".join(spec.labels)),
    ]
    if spec.positive_label:
        rows.append(("decision", f"P({spec.positive_label}) >= {spec.threshold:g}"))
        rows.append(("threshold", spec.threshold_choice))
    seed = "" if provenance.seed is None else f", random seed {provenance.seed}"
    rows.append(("recipe", f"{provenance.recipe}{seed}"))
    images = ", ".join(f"{label} {count:,}" for label, count in provenance.train_images.items())
    rows.append(("trained on", images or "unknown"))
    rows.append(("validation", figures_text(provenance.validation, spec) or "no figures"))
    rows.append(("test", figures_text(provenance.test, spec) or "no figures"))
    return rows


def _artifact_row(artifact: ArtifactRecord) -> list[Cell]:
    proofs = ", ".join(
        f"{record.engine} ({parity.max_abs_delta:.1e}, {parity.flips} of {parity.inputs} {inputs})"
        for record in artifact.engines
        for inputs, parity in (("golden", record.golden), ("images", record.data))
        if parity is not None
    )
    note = "; heat maps" if artifact.has_heatmap else ""
    return [artifact.name, f"{artifact.file.bytes:,}", f"{proofs}{note}"]
