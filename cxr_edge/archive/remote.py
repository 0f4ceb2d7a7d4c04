"""Archives on file systems that pyarrow knows by an address, such as ``s3://bucket/images``."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from cxr_edge.archive.listing import ImageFile, portable_name, storable_time
from cxr_edge.errors import DataError, ImageError, first_line
from cxr_edge.extras import require
from cxr_edge.files import printable
from cxr_edge.image.listing import ENOUGH_BYTES, is_image_by_content, is_litter, kind_by_name

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://.+")


def is_address(archive: str) -> bool:
    """Whether an archive is named by an address and not by a path."""
    return bool(_ADDRESS.fullmatch(archive))


class RemoteFiles:
    """The images below an address.

    Args:
        address: for example ``s3://bucket/images``; credentials come from where pyarrow looks.

    Raises:
        DataError: there is no such file system.
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, address: str) -> None:
        self._arrow = require("pyarrow", "ray")
        self._fs: Any = require("pyarrow.fs", "ray")
        self._address = address
        try:
            self._files, self._root = self._fs.FileSystem.from_uri(address)
        except (ValueError, OSError) as err:
            raise DataError(
                f"{printable(address)}: {printable(first_line(err))}; check the address"
            ) from err

    def list(self) -> Iterator[ImageFile | None]:
        """List the images, by the rules for folders; None stands for another file.

        Raises:
            DataError: they cannot be listed.
        """
        folders = [self._root]
        while folders:
            folder = folders.pop()
            try:
                entries = self._files.get_file_info(self._fs.FileSelector(folder))
            except OSError as err:
                raise DataError(
                    f"{printable(self._address)}: cannot be listed: {printable(first_line(err))}"
                ) from err
            entries.sort(key=lambda entry: entry.base_name)
            for entry in entries:
                if entry.type == self._fs.FileType.Directory:
                    if not is_litter(entry.base_name):
                        folders.append(entry.path)
                elif kind_by_name(entry.base_name) != "hidden":
                    yield self._examined(entry) if self._is_image(entry) else None

    def read(self, image: ImageFile, max_bytes: int) -> bytes:
        """Read a file that was listed.

        Raises:
            ImageError: it cannot be read, is empty or too large, or changes meanwhile.
        """
        name = printable(image.name)
        if image.bytes is not None and image.bytes > max_bytes:
            raise ImageError(f"{name}: {image.bytes:,} bytes, the limit is {max_bytes:,}")
        try:
            with self._files.open_input_stream(image.path) as stream:
                data: bytes = stream.read(max_bytes + 1)
        except (OSError, self._arrow.ArrowException) as err:
            reason = printable(first_line(err))
            raise ImageError(f"{name}: cannot be read: {reason}; try again") from err
        if not data:
            raise ImageError(f"{name}: the file is empty; get it again")
        if len(data) != image.bytes:
            raise ImageError(f"{name}: changed while it was read; try again when it is complete")
        return data

    def _examined(self, entry: Any) -> ImageFile:
        name = posixpath.relpath(entry.path, self._root)
        return ImageFile(portable_name(name), entry.path, entry.size, storable_time(entry.mtime_ns))

    def _is_image(self, entry: Any) -> bool:
        if kind_by_name(entry.base_name) == "image":
            return True
        try:
            with self._files.open_input_stream(entry.path) as stream:
                return is_image_by_content(entry.base_name, stream.read(ENOUGH_BYTES))
        except (OSError, self._arrow.ArrowException):
            return True  # perhaps: reading it says why it cannot be
