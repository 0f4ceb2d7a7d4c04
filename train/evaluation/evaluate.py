"""Everything that ``cxr-edge evaluate`` does: reads folders, evaluates models, writes documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.files import printable
from cxr_edge.metrics.evaluation import (
    EVALUATION_NAME,
    SEEDS_NAME,
    BaselineComparison,
    Evaluation,
    FigureComparison,
    Spread,
)
from cxr_edge.report.documents import draw_page_beside
from cxr_edge.reporting import Reporter, Silent
from cxr_edge.spec import InputSpec
from cxr_edge.train.evaluation.baseline import explained_share
from cxr_edge.train.evaluation.curves import roc_points
from cxr_edge.train.evaluation.figures import (
    SampledFigures,
    compute_figures,
    compute_series,
    figure_differences,
)
from cxr_edge.train.evaluation.gallery import write_gallery
from cxr_edge.train.evaluation.inputs import (
    EvaluationInputs,
    EvaluationOptions,
    check_output,
    read_inputs,
)
from cxr_edge.train.evaluation.outputs import (
    ScoredImages,
    make_origin,
    write_document,
    write_part,
    write_seeds,
)
from cxr_edge.train.evaluation.robustness import compare_copies, compare_shifts
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.scorers import ScoredModel
from cxr_edge.train.evaluation.seeds import check_same_labels, run_names, spread
from cxr_edge.train.evaluation.summary import summarize


@dataclass(frozen=True, slots=True)
class EvaluationResults:
    """Evaluations of one model or several on the same images."""

    evaluations: dict[str, Evaluation]
    """Run → evaluation; for one model its name."""
    spread: dict[str, Spread] | None
    """Over several models; None for one."""
    page: Path | None
    """What a person reads; None: nothing was written, or the extra ``report`` is missing."""


def evaluate_models(
    models: Sequence[ScoredModel], options: EvaluationOptions, reporter: Reporter
) -> EvaluationResults:
    """Evaluate one model, or several of the same labels on the same images.

    Images, baseline and bootstrap samples are read or computed once for each size of input.
    Several models write into a folder each, below ``out``, and ``seeds.json`` and a page above.

    Args:
        models: at least one.
        options: what is asked for.
        reporter: shows progress, messages and the files that are left out.

    Raises:
        DataError: a folder is not laid out as expected, or no copy has the name of an image.
        UsageError: the models' labels differ, or ``out`` holds an evaluation.
        EngineError: a score is no probability.
        MissingExtraError: scikit-learn is not installed, for a baseline.
        OutputError: ``out`` cannot be written.
    """
    check_same_labels(models)
    check_output(options)
    part = printable(options.data.resolve().name)
    out = options.out
    alone = len(models) == 1
    names = [models[0].name] if alone else run_names(models)
    inputs: dict[InputSpec, EvaluationInputs] = {}
    evaluations: dict[str, Evaluation] = {}
    page: Path | None = None
    for name, model in zip(names, models, strict=True):
        if not alone:
            reporter.say(f"evaluating {name}")
        size = model.spec.input
        if size not in inputs:
            inputs[size] = read_inputs(options, model.spec, part, reporter)
        folder = out if alone or out is None else out / name
        evaluation = evaluate_part(
            model, inputs[size], shifts=options.shifts, out=folder, reporter=reporter
        )
        if folder:
            origin = make_origin(options.command, [model.source])
            write_document(folder, {part: evaluation}, origin)
            page = draw_page_beside(folder / EVALUATION_NAME, reporter)
        evaluations[name] = evaluation
    if alone:
        return EvaluationResults(evaluations, None, page)
    spreads = spread(evaluations)
    if out:
        write_seeds(out, evaluations, spreads, options.command)
        page = draw_page_beside(out / SEEDS_NAME, reporter)
    return EvaluationResults(evaluations, spreads, page)


def evaluate_part(
    model: ScoredModel,
    inputs: EvaluationInputs,
    *,
    shifts: bool,
    out: Path | None,
    reporter: Reporter | None = None,
) -> Evaluation:
    """Score labelled images; write report and pictures where asked.

    Args:
        model: its labels are those of ``inputs``, in any order.
        inputs: images and what is compared with the model on them.
        shifts: whether every shift of :mod:`.shifts` is scored too.
        out: folder for ``<part>-*.png``, ``<part>-gallery/``,
            ``<part>-report.txt`` and, where the images are files, ``<part>-scores.csv``; None:
            nothing is written.
        reporter: shows progress.

    Raises:
        EngineError: a score is no probability.
        OutputError: ``out`` cannot be written.
    """
    spec = model.spec
    inputs = inputs.relabelled(spec.labels)
    images, resamples = inputs.images, inputs.resamples
    scored = Scored.from_scores(model.scorer(images.pixels), images.labels, spec)
    figures = compute_figures(scored, spec, resamples)
    evaluation = summarize(scored, figures, resamples, model=model.source, data=inputs.source)
    if inputs.baseline:
        compared_baseline = _compare_baseline(inputs, scored, figures)
        evaluation = dataclasses.replace(evaluation, baseline=compared_baseline)
    if series := compute_series(scored, inputs.series, resamples) if inputs.series else None:
        evaluation = dataclasses.replace(evaluation, by_series=series)
    if shifts:
        compared = compare_shifts(
            images, model.scorer, spec, figures, resamples, reporter or Silent()
        )
        evaluation = dataclasses.replace(evaluation, shifts=compared)
    paired = None
    if pairs := inputs.copies:
        chosen = list(pairs.chosen)
        truth = images.labels[chosen]
        originals = Scored(scored.table[chosen], scored.decisions[chosen], truth)
        paired = originals, Scored.from_scores(model.scorer(pairs.pixels), truth, spec)
        copies = compare_copies(*paired, pairs, spec)
        evaluation = dataclasses.replace(evaluation, copies=copies)
    if out:
        explainer = model.explainer if images.files else None
        evaluation = dataclasses.replace(
            evaluation,
            gallery=write_gallery(out, inputs, scored, model),
            heatmap_source=explainer.source if explainer else None,
        )
        write_part(out, inputs, evaluation, ScoredImages(scored, paired))
    return evaluation


def _compare_baseline(
    inputs: EvaluationInputs, scored: Scored, figures: SampledFigures
) -> BaselineComparison | None:
    baseline = inputs.baseline
    if baseline is None:
        return None
    difference = figure_differences(baseline.figures, figures)
    return BaselineComparison(
        training_images=baseline.training_images,
        comparison=FigureComparison(baseline.figures.intervals, difference),
        roc=roc_points(baseline.scored, baseline.spec),
        explained=explained_share(scored, baseline.statistics, baseline.spec),
    )
