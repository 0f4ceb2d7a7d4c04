"""``MODEL_CARD.md``: the manifest in words, for whoever decides whether to use the model."""

from __future__ import annotations

from collections.abc import Iterator

from cxr_edge.bundle.manifest import ArtifactRecord, GoldenRecord, Manifest, Quantization
from cxr_edge.bundle.proofs import Parity
from cxr_edge.spec import ModelSpec

CARD_NAME = "MODEL_CARD.md"
"""Its name in a bundle. It is derived from the manifest, which does not list it."""


def model_card(manifest: Manifest) -> str:
    """Write the card of a bundle, Markdown."""
    spec, provenance, golden = manifest.spec, manifest.provenance, manifest.golden
    lines = [
        f"# {spec.name}",
        "",
        f"**{manifest.notice}**",
        "",
        "## Output",
        "",
        f"- Labels: {', '.join(spec.labels)} ({spec.activation}).",
        f"- Input: one image, {spec.input.summary}.",
    ]
    if spec.positive_label:
        lines.append(
            f"- Decision: {spec.positive_label} where its score is at least {spec.threshold:g} "
            f"({spec.threshold_choice})."
        )
    else:
        lines.append("- Decision: the label with the largest score.")
    if band := spec.uncertain_band:
        lines.append(f"- Uncertain: scores from {band[0]:g} to below {band[1]:g} are marked.")
    if manifest.domain:
        lines.append(
            "- An image unlike the training images gets a label and is marked out of domain."
        )
    else:
        lines.append("- It gives one of these labels to any image, whatever that shows.")
    lines += ["", "## Training", ""]
    seed = "" if provenance.seed is None else f", random seed {provenance.seed}"
    lines.append(f"- Recipe: {provenance.recipe}{seed}.")
    if provenance.teachers:
        count = len(provenance.teachers)
        whose = "another model" if count == 1 else f"{count} other models, their mean"
        lines.append(
            f"- It learnt the scores of {whose}, not labels. SHA-256 of "
            f"{'its Keras file' if count == 1 else 'their Keras files'}: "
            f"{', '.join(provenance.teachers)}."
        )
    trained = ", ".join(f"{name} {count:,}" for name, count in provenance.train_images.items())
    lines.append(f"- Training images: {trained or 'unknown'}.")
    lines.append(f"- Data: {provenance.data or 'not stated'}.")
    lines.append(f"- Limits: {provenance.limits or 'not stated'}.")
    for part, figures in (("Validation", provenance.validation), ("Test", provenance.test)):
        lines.append(f"- {part}: {figures_text(figures, spec) or 'not measured'}.")
    if provenance.validation or provenance.test:
        lines.append(
            "- These are metrics of the original Keras model; the table says how far each file "
            "differs."
        )
    lines += ["", "## Files", "", *_artifact_table(manifest.artifacts), ""]
    for artifact in manifest.artifacts:
        if artifact.quantization:
            lines.append(f"- {artifact.name}: {_recipe(artifact.quantization)}.")
        if artifact.has_heatmap:
            lines.append(
                f"- {artifact.name}: also outputs a heat map (Grad-CAM of {spec.positive_label}): "
                f"{heatmap_meaning(spec)}."
            )
    lines += [
        "",
        "Differences are from the original Keras model. `cxr-edge verify BUNDLE` measures them",
        f"again on the device with the golden inputs: {golden.source}.",
        f"Their scores would have to change by at least {golden.margin:.2g} to change a decision.",
        *_one_label(golden),
        "Golden inputs prove the arithmetic; rows of images prove decisions on real pictures.",
    ]
    if manifest.decoding:
        lines += ["", f"JPEGs: {manifest.decoding.summary}."]
    lines.append("")
    return "\n".join(lines)


def heatmap_meaning(spec: ModelSpec) -> str:
    """What goes with every heat map."""
    thing = "a disease" if spec.is_of_radiographs else "an object"
    return f"what moved the score, not where {thing} is"


def _one_label(golden: GoldenRecord) -> Iterator[str]:
    if golden.only_decision:
        yield f"The original decides {golden.only_decision} for all of them: no other is tested."


def figures_text(figures: dict[str, float], spec: ModelSpec) -> str:
    """Figures of a provenance in one line, those with the ends of an interval as ``low to high``.

    ``{"auc": .9, "auc low": .8, "auc high": 1.0}`` becomes ``auc 0.9 (0.8 to 1)``; the interval
    of the sensitivity is that of the positive label's recall.
    """
    figures = {_as_recall(name, spec): value for name, value in figures.items()}
    parts = []
    for name in dict.fromkeys(n.removesuffix(" low").removesuffix(" high") for n in figures):
        value = f" {figures[name]:g}" if name in figures else ""
        ends = [f"{figures[key]:g}" for key in (f"{name} low", f"{name} high") if key in figures]
        parts.append(f"{name}{value}" + (f" ({' to '.join(ends)})" if ends else ""))
    return ", ".join(parts)


def _as_recall(name: str, spec: ModelSpec) -> str:
    """``sensitivity low`` as ``recall PNEUMONIA low``; other names as they are."""
    if spec.positive_label is None:
        return name
    (negative,) = (label for label in spec.labels if label != spec.positive_label)
    share, end = name.rsplit(" ", 1) if name.endswith((" low", " high")) else ("", "")
    label = {"sensitivity": spec.positive_label, "specificity": negative}.get(share)
    return f"recall {label} {end}" if label else name


def _artifact_table(artifacts: tuple[ArtifactRecord, ...]) -> Iterator[str]:
    yield "| file | for | bytes | engine | inputs | max difference | mean | changed decisions |"
    yield "|---|---|---|---|---|---|---|---|"
    for artifact in artifacts:
        for record in artifact.engines:
            for name, parity in record.parities:
                if parity:
                    yield (
                        f"| {artifact.name} | {artifact.target} | {artifact.file.bytes:,} | "
                        f"{record.engine} | {_figures(parity, name)} |"
                    )


def _figures(parity: Parity, name: str) -> str:
    return (
        f"{parity.inputs} {name} | {parity.max_abs_delta:.1e} | {parity.mean_abs_delta:.1e} | "
        f"{parity.flips}"
    )


def _recipe(quantization: Quantization) -> str:
    parts = [f"{quantization.arithmetic}, weights of {quantization.weight_bits} bits"]
    if quantization.equalization:
        strengths = ", ".join(f"{k} {v:g}" for k, v in quantization.equalization.items())
        parts.append(f"equalized before {strengths}")
    if quantization.ranges:
        parts.append(f"ranges by {quantization.ranges}")
    if quantization.bias_correction:
        parts.append("biases corrected")
    if quantization.float_layers:
        parts.append(f"in float32: {', '.join(quantization.float_layers)}")
    if calibration := quantization.calibration:
        parts.append(f"calibrated on {calibration.images} images ({calibration.source})")
    return "; ".join(parts)
