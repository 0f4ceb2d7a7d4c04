"""Prints the scores of images by every artifact and engine; runs on either machine.

Called as ``scoring.py BUNDLE IMAGE...``.
"""

from __future__ import annotations

import json
import sys

from cxr_edge import Bundle, Classifier, Prediction
from cxr_edge.engines import installed_engines, suits


def main(folder: str, *images: str) -> None:
    for artifact in Bundle.open(folder).manifest.artifacts:
        for record in artifact.engines:
            if record.engine not in installed_engines() or not suits(artifact.target):
                continue
            name, engine = artifact.name, record.engine
            classifier = Classifier.load(folder, artifact=name, engine=engine)
            for image, result in zip(images, classifier.predict_many(images), strict=True):
                if not isinstance(result, Prediction):
                    raise SystemExit(f"{image}: {result}")
                print(json.dumps([name, engine, image, result.label, result.score]))


if __name__ == "__main__":
    main(*sys.argv[1:])
