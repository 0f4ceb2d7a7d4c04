"""One row of the results for each image; ``docs/archive.md`` describes the columns."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

from cxr_edge.archive.listing import ImageFile
from cxr_edge.results import Failure, Prediction

SCHEMA = "cxr-edge.archive/1"
"""Name and version of the rows."""

LEFT_OUT = "LeftOut"
"""``error`` of a DICOM file that holds no image that is wanted, which is no failure."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a run found out about one image. The fields are the columns, in their order."""

    id: str
    """Of the image, as it was listed, under this bundle; see :func:`row_id`."""
    path: str
    """Below the archive, see :attr:`cxr_edge.archive.listing.ImageFile.name`."""
    bytes: int | None
    """Size of the file when it was listed; None: it could not be examined."""
    modified_ns: int | None
    """When the file was last changed, in ns since 1970; None: it could not be examined."""
    sha256: str | None
    """Of the content that was classified; None: it could not be read."""
    bundle_sha256: str
    """Of the bundle's manifest."""
    attempt: int
    """1, and one more each time a failure was tried again."""
    ok: bool
    """Whether the image was classified."""
    label: str | None = None
    """This and the next seven: as in :class:`cxr_edge.results.Prediction`."""
    score: float | None = None
    scores: dict[str, float] | None = None
    threshold: float | None = None
    uncertain: bool | None = None
    out_of_domain: bool | None = None
    engine: str | None = None
    artifact: str | None = None
    error: str | None = None
    """Name of the error's type; ``LeftOut`` is no failure. None: ``ok``."""
    message: str | None = None
    """One line; None: ``ok``."""
    sop_instance_uid: str | None = None
    """Of a DICOM file; None: it has none, or ``--ids`` was not given."""

    @property
    def is_failure(self) -> bool:
        """Whether trying again may help."""
        return not self.ok and self.error != LEFT_OUT

    def result(self) -> Prediction | Failure:
        """What :meth:`cxr_edge.Classifier.predict` found."""
        if not self.ok:
            code = int(self.is_failure)
            return Failure(self.path, str(self.error), str(self.message), code)
        names = [field.name for field in dataclasses.fields(Prediction) if field.name in COLUMNS]
        return Prediction(source=self.path, **{name: getattr(self, name) for name in names})


COLUMNS = tuple(field.name for field in dataclasses.fields(Row))


def row_id(image: ImageFile, bundle_sha256: str, attempt: int = 1) -> str:
    """Name what a row is about: path, size and time of the file, the bundle, and the attempt.

    The content's hash is known only once the file is read. What this id has in its place lets a
    run that goes on pass a million images without opening one.

    Returns:
        32 hexadecimal digits, and ``-2``, ``-3`` … from the second attempt on.
    """
    text = "\0".join([image.name, str(image.bytes), str(image.modified_ns), bundle_sha256])
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return digest if attempt == 1 else f"{digest}-{attempt}"


def make_row(
    image: ImageFile,
    result: Prediction | Failure,
    *,
    bundle_sha256: str,
    attempt: int,
    sha256: str | None,
    sop_instance_uid: str | None = None,
) -> Row:
    """The row of an image's result."""
    known = {
        "id": row_id(image, bundle_sha256, attempt),
        "path": image.name,
        "bytes": image.bytes,
        "modified_ns": image.modified_ns,
        "sha256": sha256,
        "bundle_sha256": bundle_sha256,
        "attempt": attempt,
        "ok": isinstance(result, Prediction),
        "sop_instance_uid": sop_instance_uid,
    }
    of_result = {name: getattr(result, name) for name in COLUMNS if hasattr(result, name)}
    return Row(**{**of_result, **known})
