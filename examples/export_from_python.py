"""Spec, export and check of a Keras model, without the command line.

    python export_from_python.py MODEL.keras DATA BUNDLE

DATA holds the training images, a folder for each label. It needs the extra ``export``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cxr_edge import CxrEdgeError, export_model, infer_spec, verify_bundle


class Progress:
    """Shows what the export says, and the names of its steps, on stderr."""

    def say(self, message: str) -> None:
        """Show a message."""
        print(message, file=sys.stderr)

    def bar(self, label: str) -> Progress:
        """Show only the name of a step; what ``with`` gives is called with (done, total)."""
        self.say(f"{label} …")
        return self

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, done: int, total: int) -> None:
        """One step of the work is done."""


def export(model: Path, data: Path, bundle: Path) -> None:
    """Write a bundle with int8 files, and print what each of its files was shown to do here."""
    spec = bundle.with_name(f"{bundle.name}.spec.json")
    inferred = infer_spec(model, data=data, out=spec)
    for line in inferred.explanations:
        if line.is_doubtful:
            print(f"check in {spec}: {line.field} = {line.value} ({line.note})")
    exported = export_model(model, bundle, spec=spec, int8=True, reporter=Progress())
    for artifact in exported.failed:
        print(f"left out: {artifact.name}: {artifact.why}")
    for verdict in verify_bundle(bundle):
        print(f"{verdict.artifact} on {verdict.engine}: {verdict.outcome} {verdict.reason}")


def main() -> None:
    """Read the arguments; an error is one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("bundle", type=Path)
    options = parser.parse_args()
    try:
        export(options.model, options.data, options.bundle)
    except CxrEdgeError as err:
        sys.exit(f"{err}")


if __name__ == "__main__":
    main()
