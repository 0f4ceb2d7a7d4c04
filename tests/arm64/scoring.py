"""Prints the scores of images by every artifact and engine; runs on either machine.

Called as ``scoring.py BUNDLE IMAGE...``. Images are read once, since decoding is what an emulator
does slowest.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from cxr_edge import Bundle
from cxr_edge.decision import decide, positive_scores, probabilities
from cxr_edge.engines import installed_engines, suits
from cxr_edge.preprocess import normalize
from cxr_edge.sources import read_pixels


def main(folder: str, *images: str) -> None:
    bundle = Bundle.open(folder)
    spec, decode = bundle.manifest.spec, bundle.manifest.default_decoding
    pixels = np.concatenate([read_pixels(image, spec, decode=decode) for image in images])
    for artifact in bundle.manifest.artifacts:
        for record in artifact.engines:
            if record.engine not in installed_engines() or not suits(artifact.target):
                continue
            scores = bundle.load(artifact, record.engine).run(normalize(pixels, spec.input))
            table = probabilities(scores, spec)
            labels = [spec.labels[index] for index in decide(table, spec)]
            for row in zip(images, labels, positive_scores(table, spec).tolist(), strict=True):
                print(json.dumps([artifact.name, record.engine, *row]))


if __name__ == "__main__":
    main(*sys.argv[1:])
