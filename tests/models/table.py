"""The table of docs/models.md: what became of every network of the zoo."""

from __future__ import annotations

from collections.abc import Sequence

from sweep import FLOAT, INTEGERS, Outcome

_HEAD = """# Models that export

What `make test-models` found: each network was trained for some seconds on drawn images, exported
and compared with Keras. Numbers are the largest difference of a score on golden inputs, on
onnxruntime and LiteRT; in brackets the time of an integer file as a share of the unchanged
network's float32 ONNX, on the machine of the run. A line in words is the refusal; a dash: not tried
after it, or not in this run; `tflite-int8-dynamic` needs layers of 1024 weights.

| network | parameters | onnx-fp32 | tflite-fp32 | onnx-int8 | tflite-int8-dynamic |
|---|---:|---|---|---|---|
"""
_ENGINES = {"onnx": "onnxruntime", "tflite": "litert"}


def models_page(outcomes: Sequence[Outcome]) -> str:
    """The page, Markdown; a section of the table for each kind."""
    rows = []
    for kind in sorted({outcome.kind for outcome in outcomes}):
        rows.append(f"| **{kind}** | | | | | |")
        rows += [_row(outcome) for outcome in outcomes if outcome.kind == kind]
    return _HEAD + "\n".join(rows) + "\n"


def _row(outcome: Outcome) -> str:
    cells = [outcome.name, f"{outcome.parameters:,}"]
    cells += [_cell(outcome, artifact) for artifact in (*FLOAT, *INTEGERS)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cell(outcome: Outcome, artifact: str) -> str:
    """A difference, the refusal, or a dash where nothing was tried."""
    engine = _ENGINES[artifact.partition("-")[0]]
    delta = outcome.deltas.get(f"{artifact} on {engine}")
    if delta is not None:
        share = outcome.of_unchanged.get(artifact)
        return f"{delta:.1e} ({share:.2f})" if share and artifact not in FLOAT else f"{delta:.1e}"
    if outcome.failure:
        return outcome.failure.strip().splitlines()[-1]
    if artifact == FLOAT[0] and "all" in outcome.refusals:
        return outcome.refusals["all"]
    return outcome.refusals.get(artifact, "\N{EN DASH}")
