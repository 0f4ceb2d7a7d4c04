"""What ``cxr-edge predict`` is given: files, folders, DICOMDIRs and stdin as a list of images."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import field
from pathlib import Path

from cxr_edge.cli.output.console import Terminal
from cxr_edge.cli.output.formats import Result
from cxr_edge.errors import ImageError, UsageError
from cxr_edge.files import is_folder, printable, why
from cxr_edge.records import dataclass
from cxr_edge.results import Failure


@dataclass(slots=True)
class Inputs:
    """Images to classify, and what is known of them before."""

    sources: list[str | bytes] = field(default_factory=list)
    """Files, and the bytes of stdin, in order."""
    listed: list[bool] = field(default_factory=list)
    """For each source, whether a folder or DICOMDIR named it and not the user."""
    failures: list[Failure] = field(default_factory=list)
    """Files that a DICOMDIR names and that cannot be read."""
    remarks: list[str] = field(default_factory=list)
    """Lines about files that are no images."""

    def add(self, sources: Iterable[str | bytes], *, listed: bool) -> None:
        """Append sources of one kind."""
        added = list(sources)
        self.sources += added
        self.listed += [listed] * len(added)

    def settled(self, results: Iterable[Result]) -> Iterator[Result]:
        """The failures known before, then the results of the sources in order.

        What was left out of a folder is no failure of the command: its exit code is 0. A failure of
        the bytes on stdin says where they come from.
        """
        yield from self.failures
        for result, listed in zip(results, self.listed, strict=False):
            if isinstance(result, Failure) and result.source is None:
                message = result.message.removeprefix("<bytes>")
                yield dataclasses.replace(result, message=f"<stdin>{message}")
            elif isinstance(result, Failure) and listed and result.error == "LeftOut":
                yield dataclasses.replace(result, exit_code=0)
            else:
                yield result


def expand(paths: list[str], max_bytes: int) -> Inputs:
    """Replace folders by the images in them, DICOMDIRs by the files that they name, ``-`` by stdin.

    Raises:
        UsageError: stdin is closed.
        DataError: a folder cannot be listed.
        ImageError: a folder or DICOMDIR names no images, or stdin or a DICOMDIR cannot be read.
        MissingExtraError: pydicom, which reads a DICOMDIR, is not installed.
    """
    from cxr_edge.image.listing import is_directory_file

    inputs = Inputs()
    for path in paths:
        if path == "-":
            inputs.add([_read_stdin(max_bytes)], listed=False)
        elif is_folder(path):
            _add_folder(path, inputs)
        elif is_directory_file(Path(path).name):
            _add_directory(path, inputs)
        else:
            inputs.add([path], listed=False)
    return inputs


def identified(results: Iterable[Result], sources: Iterable[str | bytes]) -> Iterator[Result]:
    """Pass the results of sources on, each with the SOP Instance UID of a DICOM file."""
    from cxr_edge.image.dicom.identity import sop_instance_uid

    for result, source in zip(results, sources, strict=False):
        yield dataclasses.replace(result, sop_instance_uid=sop_instance_uid(source))


def _read_stdin(max_bytes: int) -> bytes:
    if sys.stdin is None:
        raise UsageError("stdin is closed; give the image to it, or name a file")
    if sys.stdin.isatty():
        Terminal().say("cxr-edge: reading an image from stdin …")
    try:
        # One byte over the limit is enough to be refused for it.
        return sys.stdin.buffer.read(max_bytes + 1)
    except OSError as err:
        raise ImageError(f"stdin: cannot be read: {why(err)}") from err


def _add_folder(path: str, inputs: Inputs) -> None:
    """Add the images in a folder, and a remark if it holds other files.

    Raises:
        DataError: the folder cannot be listed.
        ImageError: it holds no images.
    """
    from cxr_edge.image import list_images
    from cxr_edge.image.listing import no_images, other_files, unlistable

    try:
        listing = list_images(Path(path))
    except OSError as err:
        raise unlistable(path, err) from err
    if not listing.images:
        raise no_images(path, listing.ignored)
    inputs.add(map(str, listing.images), listed=True)
    files = other_files(listing.ignored)
    if listing.ignored:
        inputs.remarks.append(f"{printable(path)}: {files} not read, no images by name or content")


def _add_directory(path: str, inputs: Inputs) -> None:
    """Add the files that a DICOMDIR names; those that cannot be read are failures.

    Raises:
        ImageError: it cannot be read, or names no file.
        MissingExtraError: pydicom is not installed.
    """
    from cxr_edge.image.dicom.directory import read_directory

    directory = read_directory(Path(path))
    inputs.add(map(str, directory.files), listed=True)
    absent = ((name, "the file is not there; copy the whole CD") for name in directory.absent)
    outside = ((name, "leads out of the folder; not read") for name in directory.outside)
    label = printable(path)
    for name, reason in itertools.chain(absent, outside):
        message = f"{label}: names {printable(name)}: {reason}"
        inputs.failures.append(
            Failure(str(Path(path).parent / name), "ImageError", message, ImageError.exit_code)
        )
    if not directory.files and not inputs.failures:
        raise ImageError(f"{label}: names no file; name its folder instead")
