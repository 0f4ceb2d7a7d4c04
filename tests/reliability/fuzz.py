"""Coverage-guided fuzzing of every image reader (atheris): ``python fuzz.py CORPUS SECONDS``.

Prints libFuzzer's log; ends with another code than 0 at the first input that neither is an image
nor raises an error of ours, needs more than five seconds, or more than a gigabyte.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cxr_edge.image", "cxr_edge.preprocess"]):
    from cxr_edge.errors import ImageError, MissingExtraError
    from cxr_edge.image import ImageLimits, read_image
    from cxr_edge.image.dicom import frame as frame
    from cxr_edge.image.dicom import reader as reader

LIMITS = ImageLimits(max_pixels=2_000_000)


def read(data: bytes) -> None:
    """Read one file in grey and, where that works, in colour."""
    for channels in (1, 3):
        try:
            image = read_image(data, channels=channels, limits=LIMITS, name="x")  # type: ignore[arg-type]
        except (ImageError, MissingExtraError) as err:
            assert str(err).startswith("x: ") and str(err).isprintable()
            return
        assert 0 < image.size <= LIMITS.max_pixels * channels


def main(corpus: str, seconds: str) -> None:
    """Fuzz for a while, starting from the files of a folder."""
    limits = ["-timeout=5", "-rss_limit_mb=1024", "-max_len=65536", f"-max_total_time={seconds}"]
    crashes = f"-artifact_prefix={Path(corpus).parent}/"
    atheris.Setup([sys.argv[0], corpus, crashes, *limits], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
