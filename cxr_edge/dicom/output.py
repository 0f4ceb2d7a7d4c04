"""The DICOM files of several predictions, in one folder.

The extra is imported with the first file; :func:`check_output` says beforehand if it is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cxr_edge.classifier import Classifier
from cxr_edge.dicom.algorithm import Algorithm
from cxr_edge.errors import CxrEdgeError, ImageError, OutputError
from cxr_edge.extras import require_installed
from cxr_edge.files import check_writable, printable, read_file, why_no_file, write_file
from cxr_edge.image.dicom.recognition import is_dicom
from cxr_edge.image.listing import stem_of
from cxr_edge.overlay import concerns_only, file_key
from cxr_edge.results import Explanation, Failure, Prediction

REPORT_SUFFIX = ".sr.dcm"
HEATMAP_SUFFIX = ".heatmap.dcm"

_MAX_OURS = 64 * 2**20  # bytes of a file that is looked into before it is replaced


def check_output(folder: Path) -> None:
    """Refuse at once what could not be written later.

    Raises:
        MissingExtraError: pydicom or highdicom is not installed.
        OutputError: the folder cannot be written or made.
    """
    require_installed(["pydicom", "highdicom"], "dicom", user="--dicom-out")
    check_writable(folder)


class DicomFiles:
    """Writes ``NAME.sr.dcm`` and ``NAME.heatmap.dcm`` of DICOM images to a folder."""

    def __init__(self, folder: Path, classifier: Classifier, max_bytes: int) -> None:
        """Write nothing yet.

        Args:
            folder: for the files; created if absent.
            classifier: of a bundle.
            max_bytes: largest image that is read.
        """
        self._folder, self._classifier, self._max_bytes = folder, classifier, max_bytes
        self._explanation: Explanation | None = None
        self._sources: set[str] = set()
        self._taken: set[str] = set()
        self._owners: dict[Path, str | None] = {}
        self._written = self._others = 0

    def keep(self, explanation: Explanation) -> None:
        """Remember the explanation of the prediction that comes next, for its heat map."""
        self._explanation = explanation

    def write(
        self, results: Iterable[Prediction | Failure], sources: Sequence[str | bytes]
    ) -> Iterator[Prediction | Failure]:
        """Pass results on, each after its files are written.

        Args:
            results: of ``sources``, in order.
            sources: paths, or the bytes of a file. No file is written over one of them, nor over
                a report of another image: a number is added to a name that is taken.

        Yields:
            The results; an image whose report cannot be written, or that changed since the first
            result was asked for, becomes a failure.

        Raises:
            OutputError: a file could not be written, and the next could not either.
        """
        paths = (source for source in sources if isinstance(source, str))
        self._sources = {file_key(Path(path)) for path in paths if "\0" not in path}
        states = [_state(source) for source in sources]
        for result, source, state in zip(results, sources, states, strict=True):
            explanation, self._explanation = self._explanation, None
            if isinstance(result, Failure):
                yield result
                continue
            try:
                data = self._read(source)
                if _state(source) != state:
                    raise ImageError("the file changed after it was read; predict it again")
                self._write_files(result, source, data, explanation)
            except (ImageError, _OfOneImageError) as err:
                yield _failure(result, err)
                continue
            yield result

    @property
    def remarks(self) -> list[str]:
        """What was written, and of which images nothing was, in a line each."""
        remarks = []
        if self._written:
            reports = "1 report" if self._written == 1 else f"{self._written:,} reports"
            remarks.append(f"{reports} written to {printable(self._folder)}")
        if self._others == 1:
            remarks.append("1 image is not DICOM: no report was written for it")
        elif self._others:
            remarks.append(f"{self._others:,} images are not DICOM: no report was written for them")
        return remarks

    def _write_files(
        self,
        prediction: Prediction,
        source: str | bytes,
        data: bytes,
        explanation: Explanation | None,
    ) -> None:
        if not is_dicom(data):
            self._others += 1
            return
        from cxr_edge.dicom import heatmap_image, structured_report

        spec, algorithm = self._classifier.spec, Algorithm.of(self._classifier)
        files = {REPORT_SUFFIX: structured_report(data, prediction, spec, algorithm)}
        if explanation is not None:
            files[HEATMAP_SUFFIX] = heatmap_image(data, explanation, algorithm)
        stem = self._free_stem("stdin" if isinstance(source, bytes) else stem_of(source), files)
        for suffix, content in files.items():
            path = self._folder / f"{stem}{suffix}"
            self._taken.add(file_key(path))
            _write(path, content)
        self._written += 1

    def _read(self, source: str | bytes) -> bytes:
        if isinstance(source, bytes):
            return source
        return read_file(source, max_bytes=self._max_bytes, error=ImageError)

    def _free_stem(self, stem: str, files: Mapping[str, bytes]) -> str:
        """The stem, with a number if a name with it is taken."""
        free, number = stem, 1
        while any(
            self._is_taken(self._folder / f"{free}{suffix}", content)
            for suffix, content in files.items()
        ):
            number += 1
            free = f"{stem}-{number}"
        return free

    def _is_taken(self, path: Path, content: bytes) -> bool:
        """Whether a source or another file of this run has the name, or one of another image."""
        key = file_key(path)
        if key in self._taken:
            return True
        if path not in self._owners:
            self._owners[path] = _owner(path)
        owner = self._owners[path]
        if owner is None:
            return key in self._sources
        return owner != _image_of(content)


def _failure(result: Prediction, err: CxrEdgeError) -> Failure:
    name = printable(result.source or "<bytes>")
    message = str(err) if isinstance(err, OutputError) else f"{name}: no report: {err}"
    kind = OutputError if isinstance(err, OutputError) else type(err)
    return Failure(result.source, kind.__name__, message, err.exit_code)


def _write(path: Path, content: bytes) -> None:
    """Write a file, which may replace one of ours: made again, or by another model.

    Raises:
        _OfOneImageError: only this file cannot be written.
        OutputError: no file can be written to the folder.
    """
    if not why_no_file(path) and _owner(path) is None:
        raise _OfOneImageError(
            f"{printable(path)}: exists and was not written by cxr-edge; move it, or name another "
            "folder"
        )
    try:
        write_file(path, content)
    except OutputError as err:
        if concerns_only(path, err):
            raise _OfOneImageError(str(err)) from err
        raise


def _owner(path: Path) -> str | None:
    """The UID of the image that a file of ours is about; None: there is none of ours."""
    if why_no_file(path):
        return None
    try:
        return _image_of(read_file(path, max_bytes=_MAX_OURS, error=ImageError))
    except ImageError:
        return None


def _image_of(content: bytes) -> str | None:
    from cxr_edge.dicom.writing import image_of_ours

    return image_of_ours(content)


def _state(source: str | bytes) -> tuple[int, ...] | None:
    """What changes with a file's content; None: it is no file."""
    if isinstance(source, bytes):
        return None
    try:
        status = Path(source).stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class _OfOneImageError(OutputError):
    """The files of one image cannot be written; those of others can."""
