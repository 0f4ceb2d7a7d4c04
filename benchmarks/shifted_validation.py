"""Writes validation images and their shifts: ``python benchmarks/shifted_validation.py RUN OUT``.

``cxr-edge export RUN --int8 --validation OUT`` then chooses recipes by eleven times as many images,
among them such as another machine might deliver: the largest change of a score is what 519 images
of the same hospital tell least about.
"""

from __future__ import annotations

import cv2
from arguments import paths

from cxr_edge.data.samples import read_samples
from cxr_edge.original.run_folder import open_run
from cxr_edge.train.evaluation.shifts import shifted


def main() -> None:
    """Write one PNG for each image and shift, in a folder for each label."""
    folder, *rest = paths(__doc__, "RUN", "OUT", optional=1)
    if not rest or rest[0].exists():
        raise SystemExit("name OUT, a folder that is not there yet")
    (out,) = rest
    run = open_run(folder)
    held = read_samples(run.validation, run.spec)
    for label in run.spec.labels:
        (out / label).mkdir(parents=True)
    for name, pixels in (("as it is", held.pixels), *shifted(held.pixels)):
        for number, (image, label) in enumerate(zip(pixels, held.labels, strict=True)):
            bgr = image[..., ::-1] if image.shape[2] == 3 else image
            file = out / run.spec.labels[label] / f"{number:05}, {name}.png"
            file.write_bytes(cv2.imencode(".png", bgr)[1].tobytes())


if __name__ == "__main__":
    main()
