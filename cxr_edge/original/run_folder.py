"""A run folder: everything a training writes, for people, evaluation and export.

::

    model.keras      the network, float32, without its optimizer
    spec.json        the contract that travels with it
    provenance.json  recipe, seed, data fingerprint, versions and figures, for the manifest
    calibration.npz  training images, equally many of each label, to calibrate an export on
    validation.npz   labelled images of held-out patients, to choose an export's recipes by
    domain.npz       statistics of the training images, to recognize unlike images
    history.json     the metrics of every epoch
    evaluation.json  validation metrics, and test metrics where the recipe uses the test folder
    *.png, *.txt     plots of data, training and results; the table of layers
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxr_edge import documents
from cxr_edge.bundle.manifest import Provenance
from cxr_edge.errors import ModelError
from cxr_edge.files import is_folder, read_file, why_no_file
from cxr_edge.original.files import model_kind
from cxr_edge.spec import ModelSpec, parse_spec

MODEL_NAME = "model.keras"
SPEC_NAME = "spec.json"
PROVENANCE_NAME = "provenance.json"
CALIBRATION_NAME = "calibration.npz"
VALIDATION_NAME = "validation.npz"
DOMAIN_NAME = "domain.npz"

_MAX_DOCUMENT_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Run:
    """A trained model with its spec and provenance."""

    model: Path
    """The file, ``.keras`` or HDF5."""
    spec: ModelSpec
    """Input, labels and decision rule."""
    provenance: Provenance
    """Where the model comes from; :data:`UNKNOWN` when it was trained elsewhere."""
    calibration: Path | None = None
    """Training images to calibrate on; None: there are none."""
    validation: Path | None = None
    """Images of held-out patients to choose recipes by; None: there are none."""
    domain: Path | None = None
    """Statistics of the training images; None: there are none."""


UNKNOWN = Provenance(
    recipe="unknown",
    seed=None,
    data="",
    limits="",
    data_sha256=None,
    train_images={},
    validation={},
    test={},
    tools={},
)
"""The provenance of a model that was not trained by this project."""


def open_run(path: Path, spec: Path | None = None) -> Run:
    """Find a trained model.

    Args:
        path: a run folder, or a Keras model (``.keras``, ``.h5``).
        spec: the model's spec; None: ``spec.json`` beside the model.

    Raises:
        ModelError: there is no model or no spec; says what there is instead.
        SpecError: the spec is malformed.
    """
    is_run = is_folder(path)
    folder = path if is_run else path.parent
    model = path / MODEL_NAME if is_run else path
    if not is_run or why_no_file(model):
        model_kind(path, str(path))
    spec_path = spec or folder / SPEC_NAME
    if why := why_no_file(spec_path):
        raise ModelError(
            f"{spec_path}: {why}; write it with 'cxr-edge spec MODEL -o {SPEC_NAME}', or name "
            "another with --spec"
        )
    data = read_file(spec_path, max_bytes=_MAX_DOCUMENT_BYTES, error=ModelError)
    kept = [folder / name for name in (CALIBRATION_NAME, VALIDATION_NAME, DOMAIN_NAME)]
    beside = [p if is_run and p.is_file() else None for p in kept]
    parsed = parse_spec(data, str(spec_path))
    return Run(model, parsed, _provenance(folder, is_run), *beside)


def _provenance(folder: Path, is_run: bool) -> Provenance:
    path = folder / PROVENANCE_NAME
    if not (is_run and path.exists()):
        return UNKNOWN
    data = read_file(path, max_bytes=_MAX_DOCUMENT_BYTES, error=ModelError)
    return documents.parse(data, Provenance, name=str(path), error=ModelError)
