"""Calibrates the bundled reference again: ``python benchmarks/recalibrate.py DATA OUT``.

The network stays. Temperature, threshold and uncertainty band are chosen on the 519 validation
images and their shifted copies by ``train/fitting/calibrate.py``, the out-of-domain check is fitted
by ``train/fitting/domain.py``, and OUT becomes a run folder to export. DATA holds train/, and
perhaps test/, which is evaluated.
"""

from __future__ import annotations

import dataclasses

from arguments import paths

from cxr_edge.bundle.reader import Bundle
from cxr_edge.cli.output.console import Terminal
from cxr_edge.data.patients import kermany_patient, kermany_series
from cxr_edge.original.keras_model import load_keras
from cxr_edge.train.fitting.data import read_training_data
from cxr_edge.train.pipeline import write_run
from cxr_edge.train.recipe import ROBUST

# What the reference was trained by held no block out.
RECIPE = dataclasses.replace(ROBUST, version=1, block=None)


def main() -> None:
    """Read the images, calibrate, write."""
    data, *rest = paths(__doc__, "DATA", "OUT", optional=1)
    if not rest or rest[0].exists():
        raise SystemExit("name OUT, a folder that is not there yet")
    (out,) = rest
    bundle = Bundle.open()
    provenance = bundle.manifest.provenance
    images = read_training_data(
        data, RECIPE, seed=1, group_of=kermany_patient, use_val_folder=False, reporter=Terminal()
    )
    if provenance.recipe != "robust v1" or images.sha256 != provenance.data_sha256:
        raise SystemExit("the bundled reference is another network, or was trained on other images")
    out.mkdir()
    write_run(
        load_keras(bundle.read(bundle.manifest.keras), bundle.manifest.spec, name="reference"),
        data,
        images,
        RECIPE,
        out,
        seed=1,
        group_of=kermany_patient,
        series_of=kermany_series,
        use_val_folder=False,
        reporter=Terminal(),
        about_data=provenance.data,
        about_limits=provenance.limits.replace("Mirrored and upside-down", "Mirrored"),
        command="python benchmarks/recalibrate.py DATA OUT",
    )


if __name__ == "__main__":
    main()
