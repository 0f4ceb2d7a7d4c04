"""``cxr-edge verify`` and ``info``: whether a bundle works on this device, and what it is."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.output.failures import errors_as_documents
from cxr_edge.cli.output.schemas import (
    INFO,
    VERIFY,
    Check,
    InfoDocument,
    VerifyDocument,
    bundle_name,
    print_document,
)
from cxr_edge.cli.output.tables import Cell, Column, Style, Styled, print_table, stream_table
from cxr_edge.errors import CxrEdgeError
from cxr_edge.files import printable

if TYPE_CHECKING:
    from cxr_edge.bundle.manifest import ArtifactRecord, Manifest
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.bundle.verify import Outcome, Verdict

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[BUNDLE]",
        path_type=options.BundlePath,
        help="Folder of an export, or compact; by default the reference.",
    ),
]

_VERDICT_COLUMNS = [
    Column("artifact", 21),
    Column("engine", 11),
    Column("outcome", 13),
    Column("max |d|", align="right"),
    Column("allowed", align="right"),
    Column("flips", 8),
    Column("file"),
]

_OUTCOME_STYLES: dict[Outcome, Style] = {
    "proven": "good",
    "failed": "bad",
    "not-installed": "faint",
    "not-for-this-cpu": "faint",
}


def verify(
    folder: Folder = None, format: options.Format = "table", key: options.Key = None
) -> None:
    """Check on this device that every exported model makes the same decisions as the original.

    Checks the hash of every file, then runs the golden inputs through every model file on every
    installed engine and compares the scores with the Keras model's. Needs no TensorFlow.
    """
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.bundle.verify import replay_bundle, require_proven

    bundle: Bundle | None = None
    verdicts: list[Verdict] = []
    try:
        bundle = Bundle.open(folder, key=key)
        _report_strays(bundle)
        outcomes = _collect(replay_bundle(bundle), verdicts)
        if format == "json":
            for _ in outcomes:
                pass
        else:
            stream_table(_VERDICT_COLUMNS, (_verdict_row(each, bundle) for each in outcomes))
        require_proven(verdicts, bundle)
    except CxrEdgeError as err:
        if format == "json":
            print_document(_verify_document(folder, key, bundle, verdicts, err))
        raise
    if format == "json":
        print_document(_verify_document(folder, key, bundle, verdicts, None))
    if key is not None:
        print(f"cxr-edge: the signature is right, for {printable(key)}", file=sys.stderr)
    print(_conclusion(verdicts, bundle), file=sys.stderr)


def _collect(verdicts: Iterator[Verdict], collected: list[Verdict]) -> Iterator[Verdict]:
    for verdict in verdicts:
        collected.append(verdict)
        yield verdict


def _report_strays(bundle: Bundle) -> None:
    if not bundle.card_is_current():
        print(
            "cxr-edge: MODEL_CARD.md cannot be read, was changed, or is of another version",
            file=sys.stderr,
        )
    for name in bundle.unlisted():
        print(f"cxr-edge: {printable(name)}: is not listed by the manifest", file=sys.stderr)


def _verify_document(
    folder: Path | None,
    key: Path | None,
    bundle: Bundle | None,
    verdicts: list[Verdict],
    err: CxrEdgeError | None,
) -> VerifyDocument:
    return VerifyDocument(
        schema=VERIFY,
        bundle=bundle_name(folder),
        ok=err is None,
        error=type(err).__name__ if err else None,
        message=printable(str(err)) if err else None,
        checks=tuple(_check(v, bundle) for v in verdicts) if bundle else (),
        card_is_current=bundle.card_is_current() if bundle else None,
        unlisted=bundle.unlisted() if bundle else (),
        signed_for=printable(key) if bundle and key else None,
    )


def _check(verdict: Verdict, bundle: Bundle) -> Check:
    parity = verdict.parity
    return Check(
        artifact=verdict.artifact,
        file=bundle.artifact(verdict.artifact).file.file,
        engine=verdict.engine,
        outcome=verdict.outcome,
        allowed=verdict.tolerance,
        max_abs_delta=parity.max_abs_delta if parity else None,
        mean_abs_delta=parity.mean_abs_delta if parity else None,
        flips=parity.flips if parity else None,
        inputs=parity.inputs if parity else None,
        reason=verdict.reason,
    )


def _conclusion(verdicts: list[Verdict], bundle: Bundle) -> str:
    """One sentence: which files make the original's decisions here, and which were not checked."""
    checked = dict.fromkeys(v.artifact for v in verdicts if v.outcome == "proven")
    others = dict.fromkeys(v.artifact for v in verdicts if v.artifact not in checked)
    text = f"{', '.join(checked)}: the same decisions as the original model on this machine"
    golden = bundle.manifest.golden
    if golden.only_decision:
        text = (
            f"{', '.join(checked)}: the same scores as the original model on this machine, which "
            f"decides {golden.only_decision} for all {golden.inputs} golden inputs: no other "
            "decision was tested"
        )
    if others:
        text += f"; not checked: {', '.join(others)}"
    return text


def _verdict_row(verdict: Verdict, bundle: Bundle) -> list[Cell]:
    outcome = Styled(verdict.outcome, _OUTCOME_STYLES[verdict.outcome])
    figures = ["", "", ""]
    if verdict.parity:
        figures = [
            f"{verdict.parity.max_abs_delta:.1e}",
            f"{verdict.tolerance:.0e}",
            f"{verdict.parity.flips} of {verdict.parity.inputs}",
        ]
    file = bundle.artifact(verdict.artifact).file.file
    return [verdict.artifact, verdict.engine, outcome, *figures, file]


def info(folder: Folder = None, format: options.Format = "table", key: options.Key = None) -> None:
    """Show what a bundle is: its intended use, input and labels, files, origin and figures.

    Reads the manifest only; 'cxr-edge verify' checks the files.
    """
    from cxr_edge.bundle.reader import Bundle

    with errors_as_documents(format):
        manifest = Bundle.open(folder, key=key).manifest
    if format == "json":
        print_document(
            InfoDocument(
                schema=INFO,
                bundle=bundle_name(folder),
                format=manifest.format,
                sha256=manifest.sha256,
                notice=manifest.notice,
                spec=manifest.spec,
                artifacts=manifest.artifacts,
                golden=manifest.golden,
                provenance=manifest.provenance,
            )
        )
        return
    print_table(
        [Column(), Column()],
        [[Styled(name, "faint"), text] for name, text in _description(folder, manifest)],
    )
    print()
    columns = [
        Column("artifact"),
        Column("bytes", align="right"),
        Column("measured at export on (max |d| from Keras, flips)"),
    ]
    print_table(columns, [_artifact_row(artifact) for artifact in manifest.artifacts])


def _description(folder: Path | None, manifest: Manifest) -> list[tuple[str, str]]:
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
    command = f"cxr-edge verify {shlex.quote(printable(folder))}" if folder else "cxr-edge verify"
    rows.append(
        ("checked", f"the manifest; '{command}' checks every file, and repeats the proof here")
    )
    return rows


def _artifact_row(artifact: ArtifactRecord) -> list[Cell]:
    proofs = ", ".join(
        f"{record.engine} ({parity.max_abs_delta:.1e}, {parity.flips} of {parity.inputs} {inputs})"
        for record in artifact.engines
        for inputs, parity in record.parities
        if parity is not None
    )
    note = "; heat maps" if artifact.has_heatmap else ""
    return [artifact.name, f"{artifact.file.bytes:,}", f"{proofs}{note}"]
