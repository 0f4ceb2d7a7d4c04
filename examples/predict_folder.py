"""Classify every image of a folder into a CSV file.

    python predict_folder.py IMAGES scores.csv

An image that cannot be read is a row with its reason; it does not stop the others.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from cxr_edge import Classifier, Failure

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def main(folder: Path, table: Path) -> int:
    """Write one row an image; the number of images that could not be read."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    classifier = Classifier.load()  # or Classifier.load("my-bundle")
    failures = 0
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "label", "score", "uncertain", "out_of_domain", "problem"])
        for path, result in zip(paths, classifier.predict_many(paths), strict=True):
            name = path.relative_to(folder)
            if isinstance(result, Failure):
                failures += 1
                rows.writerow([name, "", "", "", "", result.message])
            else:
                flags = [result.uncertain, result.out_of_domain]
                rows.writerow([name, result.label, f"{result.score:.4f}", *flags, ""])
    print(f"{len(paths)} images, {failures} of them unreadable: {table}")
    return failures


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {Path(sys.argv[0]).name} IMAGES TABLE.csv")
    sys.exit(1 if main(Path(sys.argv[1]), Path(sys.argv[2])) else 0)
