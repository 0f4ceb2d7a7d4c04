"""A device's program: classify each picture that arrives in a folder, until Ctrl-C.

    python embed_in_a_loop.py INBOX [--once]

The model is loaded once; each picture then takes milliseconds. A picture counts as arrived when it
has its final name, so write it under another suffix and rename it. A handled picture is moved to
INBOX/done or INBOX/failed, hence a restart goes on where it stopped, and memory does not grow.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cxr_edge import Classifier, CxrEdgeError

SUFFIXES = {".jpeg", ".jpg", ".png"}
PAUSE_SECONDS = 0.2


def arrived(inbox: Path, *, once: bool) -> Iterator[Path]:
    """Pictures in the order of their names, as they arrive; ``once``: those that are there."""
    while True:
        pictures = sorted(p for p in inbox.iterdir() if p.suffix.lower() in SUFFIXES)
        yield from pictures
        if once:
            return
        if not pictures:
            time.sleep(PAUSE_SECONDS)


def main(inbox: Path, *, once: bool) -> None:
    """Classify pictures until interrupted."""
    for folder in ("done", "failed"):
        (inbox / folder).mkdir(exist_ok=True)
    classifier = Classifier.load()  # or Classifier.load("my-bundle", threads=2)
    for picture in arrived(inbox, once=once):
        try:
            result = classifier.predict(picture)
        except CxrEdgeError as err:  # one line that names the file and the reason
            print(err, flush=True)
            picture.rename(inbox / "failed" / picture.name)
            continue
        marks = " uncertain" * result.uncertain + " out of domain" * bool(result.out_of_domain)
        print(f"{picture.name} {result.label} {result.score:.4f}{marks}", flush=True)
        picture.rename(inbox / "done" / picture.name)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--once"]
    if len(arguments) != 1:
        sys.exit(f"usage: {Path(sys.argv[0]).name} INBOX [--once]")
    try:
        main(Path(arguments[0]), once="--once" in sys.argv)
    except KeyboardInterrupt:
        sys.exit(130)
