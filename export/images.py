"""The images of one export: to check parity on, to calibrate on, and to choose recipes by."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.manifest import Calibration
from cxr_edge.data.samples import Samples, sample_folder
from cxr_edge.decision import Scores
from cxr_edge.errors import DataError, ParityError, UsageError
from cxr_edge.export.decoding import FastReading
from cxr_edge.export.gate import ParityImages
from cxr_edge.export.golden.inputs import GoldenInputs
from cxr_edge.export.golden.near import draw_near, some_of_each
from cxr_edge.export.quantize.distill import distill
from cxr_edge.export.quantize.search import SelectionImages
from cxr_edge.export.request import (
    IMAGES,
    CalibrationImages,
    ExportRequest,
    OriginalModel,
    Use,
    overlap,
)
from cxr_edge.files import printable, sha256
from cxr_edge.original.keras_model import keras_scores
from cxr_edge.preprocess import Batch, Pixels, normalize
from cxr_edge.reporting import Reporter
from cxr_edge.sources import read_pixels
from cxr_edge.spec import ModelSpec

_MOST_CHECKED = 128
_TIMES_NEAR = 3  # of the pairs that a bundle keeps


class ExportImages:
    """Loads golden inputs and the images of ``--data`` eagerly, the rest when they are needed."""

    def __init__(
        self, model: Any, original: OriginalModel, request: ExportRequest, reporter: Reporter
    ) -> None:
        self._model, self._original = model, original
        self._request, self._reporter = request, reporter
        self.golden = GoldenInputs(
            original.spec,
            self._score,
            request.budget.max_delta_p,
            request.golden_pool,
            reporter,
        )
        """The golden inputs; they may be exchanged until files are proven."""
        self.fast_reading: FastReading | None = None
        """The images of ``--data`` by fast decoding; None: there are none."""
        self._data: tuple[ParityImages, ...] = ()
        if request.data:
            self._add_data(request.data)
        if request.keep_images:
            self._keep_images()

    @property
    def parity_sets(self) -> tuple[ParityImages, ...]:
        """Images to check every file on, the golden inputs first."""
        chosen = self.golden.chosen
        golden = ParityImages("golden", Samples(chosen.pixels, None, ()), chosen.scores)
        return (golden, *self._data)

    @property
    def are_users(self) -> bool:
        """Whether recipes are chosen by a user's images; drawn inputs do not overrule those."""
        return self._request.validation is not None or self._original.validation is not None

    @property
    def are_calibrated_by_user(self) -> bool:
        """Whether ranges are measured on a user's images."""
        given = self._original.calibration
        return self._request.calibration is not None or (given is not None and not given.in_bundle)

    @functools.cached_property
    def calibration(self) -> CalibrationImages:
        """Calibration images; none of them is in a parity set."""
        original, request = self._original, self._request
        scored = [images.samples for images in self.parity_sets]
        if request.calibration:
            given = sample_folder(request.calibration, original.spec, self._reporter)
            for samples in scored:
                refuse_overlap(given, samples, IMAGES["data"])
            return CalibrationImages(given, "images given for calibration")
        if original.calibration is None:
            return self._distilled
        kept = original.calibration.samples
        for samples in scored:
            kept = kept.without(samples)
        if not len(kept.pixels):
            raise DataError(
                "every calibration image of the run is among those that parity is checked on; name "
                "others with --calibration, or fewer with --data"
            )
        if dropped := len(original.calibration.samples.pixels) - len(kept.pixels):
            self._reporter.say(
                f"left out {dropped} calibration images, since parity is checked on them too"
            )
        return dataclasses.replace(original.calibration, samples=kept)

    @functools.cached_property
    def selection(self) -> SelectionImages:
        """Images to choose recipes by; none of them is for calibration or to check parity on."""
        samples, pool = self._validation, self.golden.pool
        if samples is None:
            drawn = Samples(pool.pixels, None, ())
            return self._select(drawn, pool.scores, "drawn inputs", self.golden.chosen)
        held_out = "validation images of held-out patients"
        source = "images of --validation" if self._request.validation else held_out
        refuse_overlap(self.calibration.samples, samples, IMAGES["validation"])
        for scored in self._data:
            refuse_overlap(samples, scored.samples, IMAGES["data"], use="validation")
        self._reporter.say(f"scoring {len(samples.pixels)} {source} with the original model")
        return self._select(samples, self._score(samples.pixels), source, None)

    def chosen_on(self) -> str:
        """What the report calls the images to choose recipes by."""
        return f"{len(self.selection.scores)} {self.selection.source}"

    @functools.cached_property
    def near_data(self) -> GoldenSet | None:
        """Blends of images of ``--data`` near a change of decision, which no bundle keeps.

        None: there is no ``--data``, or the original has no such inputs.
        """
        if not self._data:
            return None
        spec, images = self._original.spec, self._data[0]
        held = GoldenSet(images.samples.pixels, images.scores)
        return draw_near(some_of_each(held, spec), self._score, spec, times=_TIMES_NEAR)

    def calibration_record(self) -> Calibration:
        """What the manifest says of the calibration images."""
        return describe_calibration(self.calibration, self._original.spec)

    def in_bundle(self, *, calibrated: bool) -> Samples | None:
        """Calibration images that the bundle contains; None: it contains none.

        Args:
            calibrated: whether a file was made with calibration images.
        """
        if self._request.distill:
            return self._distilled.samples
        if self._original.calibration is not None and self._original.calibration.in_bundle:
            return self._original.calibration.samples
        if calibrated and self.calibration.in_bundle:
            return self.calibration.samples
        return None

    def labelled(self) -> tuple[Samples, Scores, str] | None:
        """Labelled images of the user with the original's scores, and what to call them."""
        for images in self._data:
            if images.samples.labels is not None:
                return images.samples, images.scores, "images of --data"
        samples = self._validation
        if samples is None or samples.labels is None:
            return None
        every = _thin(len(samples.pixels))
        part = Samples(samples.pixels[every], samples.labels[every], ())
        return part, self._score(part.pixels), "validation images"

    def float_sets(self) -> Iterator[tuple[str, Batch, Scores]]:
        """Images to check float32 files on before a search, with the original's scores."""
        spec, chosen = self._original.spec.input, self.golden.chosen
        yield "golden inputs", normalize(chosen.pixels, spec), chosen.scores
        selection = self.selection
        every = _thin(len(selection.scores))
        yield selection.source, selection.batch[every], selection.scores[every]
        pixels = self.calibration.samples.pixels[_thin(len(self.calibration.samples.pixels))]
        yield "calibration images", normalize(pixels, spec), self._score(pixels)
        for images in self._data:
            yield "images of --data", normalize(images.samples.pixels, spec), images.scores

    @functools.cached_property
    def _validation(self) -> Samples | None:
        """The user's validation images."""
        if self._request.validation is None:
            return self._original.validation
        return sample_folder(self._request.validation, self._original.spec, self._reporter)

    def _keep_images(self) -> None:
        if self._data:
            self.golden.keep(self._data[0].samples, self._data[0].scores)
            return
        samples = self._validation
        if samples is None:
            raise UsageError("--keep-images keeps images of --validation or --data; add one")
        self.golden.keep(samples, self._score(samples.pixels))

    @functools.cached_property
    def _distilled(self) -> CalibrationImages:
        return distill(self._model, self._original.spec, self._reporter)

    def _score(self, pixels: Pixels) -> Scores:
        return keras_scores(self._model, pixels, self._original.spec)

    def _select(
        self, samples: Samples, scores: Scores, source: str, golden: GoldenSet | None
    ) -> SelectionImages:
        batch = normalize(samples.pixels, self._original.spec.input)
        return SelectionImages(source, batch, scores, samples.labels, golden)

    def _add_data(self, root: Path) -> None:
        """Read the images of ``--data`` as training does, and as the runtime does, both ways.

        Raises:
            ParityError: the runtime's exact reading differs from training's.
        """
        spec = self._original.spec
        samples = sample_folder(root, spec, self._reporter)
        self._reporter.say(f"scoring {len(samples.pixels)} images with the original model")
        scores = self._score(samples.pixels)
        self._data = (ParityImages("data", samples, scores),)
        exact, fast = self._read_again([root / name for name in samples.names])
        levels = np.abs(exact.astype(np.int16) - samples.pixels).max(axis=(1, 2, 3))
        if levels.any():
            worst = int(levels.argmax())
            raise ParityError(
                f"{printable(samples.names[worst])}: the runtime's pixels differ by up to "
                f"{levels[worst]} of 255 from those that training reads, expected none, on "
                f"{np.count_nonzero(levels)} of {len(levels)} images of --data; report it"
            )
        self.fast_reading = FastReading(self._data[0], fast, self._score(fast))

    def _read_again(self, paths: Sequence[Path]) -> tuple[Pixels, Pixels]:
        """Read images as :class:`cxr_edge.Classifier` does: exactly, and by fast decoding."""
        exact, fast = [], []
        with self._reporter.bar("reading as the runtime does") as advance:
            for done, path in enumerate(paths, 1):
                exact.append(read_pixels(path, self._original.spec, decode="exact"))
                fast.append(read_pixels(path, self._original.spec, decode="fast"))
                advance(done, len(paths))
        return np.concatenate(exact), np.concatenate(fast)


def _thin(count: int) -> slice:
    """Evenly spaced indices, about :data:`_MOST_CHECKED` of ``count``."""
    return slice(None, None, -(-count // _MOST_CHECKED) or 1)


def describe_calibration(images: CalibrationImages, spec: ModelSpec) -> Calibration:
    """The record of calibration images for the manifest."""
    samples, labels = images.samples, None
    if samples.labels is not None:
        names = spec.labels
        labels = {n: int(np.count_nonzero(samples.labels == i)) for i, n in enumerate(names)}
    digest = sha256("\n".join(sorted(samples.hashes())).encode())
    return Calibration(images.source, len(samples.pixels), digest, labels)


def refuse_overlap(
    images: Samples, others: Samples, others_name: str, *, use: Use = "calibration"
) -> None:
    """Refuse images that figures are also measured on: the figures would be too good.

    Raises:
        DataError: both hold an image with the same pixels.
    """
    known = set(images.hashes())
    shared = [i for i, digest in enumerate(others.hashes()) if digest in known]
    if shared:
        raise overlap(
            use, len(shared), others_name, others.names[shared[0]] if others.names else ""
        )
