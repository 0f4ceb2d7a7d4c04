"""Which images the results have already: some 120 bytes of memory for each row, not the row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from cxr_edge.archive.formats import Standing
from cxr_edge.archive.listing import ImageFile
from cxr_edge.archive.rows import LEFT_OUT, Row, row_id


class Settled:
    """What earlier runs have settled, and which of their failures are to be tried again.

    Args:
        standings: of all rows, older parts first.
        bundle_sha256: of the bundle that runs now; rows of others say nothing.
        retry_failed: whether failures are to be tried again, all but what was left out.
    """

    def __init__(
        self, standings: Iterable[Standing], bundle_sha256: str, *, retry_failed: bool
    ) -> None:
        self._bundle = bundle_sha256
        listed, contents, paths = bytearray(), bytearray(), bytearray()
        failed: set[bytes] = set()
        self._attempts: dict[bytes, int] = {}  # of the few paths with more than one
        for row in standings:
            if row.bundle_sha256 != bundle_sha256:
                continue
            digest, path = bytes.fromhex(row.id[:32]), _digest(row.path)
            if row.attempt == 1:
                paths += path
            else:
                self._attempts[path] = max(row.attempt, self._attempts.get(path, 0))
            if not row.ok and row.error != LEFT_OUT:
                failed.add(digest)
                if retry_failed:
                    continue
            else:
                failed.discard(digest)
            listed += digest
            if row.sha256 is not None:
                contents += _digest(row.path, row.sha256, str(row.attempt))
        self._listed, self._contents = _Digests(listed), _Digests(contents)
        self._paths, self._failed = _Digests(paths), failed

    def next_attempt(self, image: ImageFile) -> int:
        """The number of the attempt to make at an image; 0: it is settled.

        Of the rows of one path, the one with the highest number is about the file as it is.
        """
        if bytes.fromhex(row_id(image, self._bundle)) in self._listed:
            return 0
        path = _digest(image.name)
        before = self._attempts.get(path) or int(path in self._paths)
        return before + 1

    def has_failed(self, image: ImageFile) -> bool:
        """Whether the last attempt at an image, as it is listed, has failed."""
        return bytes.fromhex(row_id(image, self._bundle)) in self._failed

    def has_content_of(self, row: Row) -> bool:
        """Whether the row before of this path has its content: the file was only touched."""
        if row.sha256 is None:
            return False
        return _digest(row.path, row.sha256, str(row.attempt - 1)) in self._contents


def _digest(*texts: str) -> bytes:
    return hashlib.sha256("\0".join(texts).encode()).digest()[:16]


class _Digests:
    """A set of 16-byte digests in two sorted columns."""

    def __init__(self, joined: bytearray) -> None:
        halves: npt.NDArray[np.uint64] = np.frombuffer(bytes(joined), dtype="<u8").reshape(-1, 2)
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        self._first, self._second = halves[order, 0], halves[order, 1]

    def __contains__(self, digest: bytes) -> bool:
        first, second = np.frombuffer(digest, dtype="<u8")
        index = int(np.searchsorted(self._first, first))
        while index < len(self._first) and self._first[index] == first:
            if self._second[index] == second:
                return True
            index += 1
        return False
