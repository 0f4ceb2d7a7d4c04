"""The images of one export: to prove files on, to calibrate on, and to choose recipes by."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.manifest import Calibration
from cxr_edge.classifier import read_pixels
from cxr_edge.data.samples import Samples, sample_folder
from cxr_edge.decision import Scores
from cxr_edge.export.gate import Evidence
from cxr_edge.export.golden import POOL, choose_golden, draw_pictures
from cxr_edge.export.quantize.calibration import describe, refuse_overlap
from cxr_edge.export.quantize.distill import SOURCE, distill
from cxr_edge.export.quantize.search import Choice
from cxr_edge.export.report import Preprocessing
from cxr_edge.export.request import ExportRequest, OriginalModel
from cxr_edge.original.keras_model import keras_scores
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.reporting import Reporter


class Images:
    """Golden inputs and the images of ``--data`` at once; the others when something needs them."""

    def __init__(
        self, model: Any, original: OriginalModel, request: ExportRequest, reporter: Reporter
    ) -> None:
        self._model, self._original = model, original
        self._request, self._reporter = request, reporter
        spec = original.spec
        with reporter.bar("drawing golden inputs") as advance:
            pictures = draw_pictures(spec, 0, POOL, advance, striped=True)
        self._pool = GoldenSet(pictures, self._answer(pictures))
        self.golden, self.margin = choose_golden(self._pool, spec, request.budget.max_delta_p)
        """Golden inputs, and how far their decisions are from changing."""
        golden = Samples(self.golden.pixels, None, ())
        self.evidence: tuple[Evidence, ...] = (Evidence("golden", golden, self.golden.scores),)
        """What every file is proven on."""
        self.preprocessing: Preprocessing | None = None
        """From files to the input; None where no files were given."""
        if request.data:
            self._add_data(request.data)

    @functools.cached_property
    def calibration(self) -> tuple[Samples, str]:
        """Calibration images and where they come from; never ones that are scored."""
        original, request = self._original, self._request
        scored = [evidence.samples for evidence in self.evidence]
        if request.calibration:
            given = sample_folder(request.calibration, original.spec, self._reporter)
            for samples in scored:
                refuse_overlap(given, samples, "the images to prove on")
            return given, "images given for calibration"
        if original.calibration is None:
            return self._distilled
        kept = original.calibration
        for samples in scored:
            kept = kept.without(samples)
        if left := len(original.calibration.pixels) - len(kept.pixels):
            self._reporter.say(f"left out {left} calibration images that are also scored")
        return kept, original.calibration_source

    @functools.cached_property
    def choice(self) -> Choice:
        """Images to choose recipes by."""
        spec, request = self._original.spec, self._request
        if request.validation:
            samples = sample_folder(request.validation, spec, self._reporter)
            source = "validation images given"
        elif self._original.validation is not None:
            samples, source = self._original.validation, "validation images of held-out patients"
        else:
            samples, source = Samples(self._pool.pixels, None, ()), "drawn inputs"
            return self._choice_of(samples, self._pool.scores, source)
        refuse_overlap(self.calibration[0], samples, "the validation images")
        self._reporter.say(f"scoring {len(samples.pixels)} {source} with the original model")
        return self._choice_of(samples, self._answer(samples.pixels), source)

    def calibration_record(self) -> Calibration:
        """The record of the calibration images."""
        samples, source = self.calibration
        return describe(samples, source, self._original.spec)

    def carried(self, *, calibrated: bool) -> Samples | None:
        """Calibration images that the bundle carries, nobody's picture; None: it carries none.

        Args:
            calibrated: whether a file was calibrated.
        """
        if self._request.distill or (calibrated and self.calibration[1] == SOURCE):
            return self._distilled[0]
        return self._original.calibration if self._original.carries_calibration else None

    @functools.cached_property
    def _distilled(self) -> tuple[Samples, str]:
        return distill(self._model, self._original.spec, self._reporter)

    def _answer(self, pixels: Pixels) -> Scores:
        return keras_scores(self._model, pixels, self._original.spec)

    def _choice_of(self, samples: Samples, scores: Scores, source: str) -> Choice:
        batch = normalize(samples.pixels, self._original.spec.input)
        return Choice(source, batch, scores, samples.labels, self.golden)

    def _add_data(self, root: Path) -> None:
        """Read images to prove the files on, and read them again as a device does."""
        spec = self._original.spec
        samples = sample_folder(root, spec, self._reporter)
        self._reporter.say(f"scoring {len(samples.pixels)} images with the original model")
        scores = self._answer(samples.pixels)
        self.evidence = (*self.evidence, Evidence("data", samples, scores))
        again = np.concatenate([read_pixels(root / name, spec) for name in samples.names])
        levels = np.abs(again.astype(np.int16) - samples.pixels)
        delta = np.abs(self._answer(again) - scores)
        self.preprocessing = Preprocessing(len(again), int(levels.max()), float(delta.max()))
