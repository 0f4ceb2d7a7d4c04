"""Which images the results have already: 16 bytes of memory for each row, not the row."""

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
        listed, contents = bytearray(), bytearray()
        failed: dict[bytes, int] = {}
        self.images = 0
        """Images that this bundle has rows of."""
        for row in standings:
            if row.bundle_sha256 != bundle_sha256:
                continue
            self.images += row.attempt == 1
            digest = bytes.fromhex(row.id[:32])
            is_failure = not row.ok and row.error != LEFT_OUT
            if is_failure:
                failed[digest] = max(row.attempt, failed.get(digest, 0))
                if retry_failed:
                    continue
            else:
                failed.pop(digest, None)
            listed += digest
            if row.sha256 is not None:
                contents += _content_digest(row.path, row.sha256)
        self._listed, self._contents = _Digests(listed), _Digests(contents)
        self._retried = failed if retry_failed else {}
        self.failures = len(failed)
        """Images whose last attempt failed."""

    def next_attempt(self, image: ImageFile) -> int:
        """The number of the attempt to make at an image; 0: it is settled."""
        digest = bytes.fromhex(row_id(image, self._bundle))
        if digest in self._listed:
            return 0
        return self._retried.get(digest, 0) + 1

    def has_content_of(self, row: Row) -> bool:
        """Whether an older row has this path and content: the file was only touched since."""
        return row.sha256 is not None and _content_digest(row.path, row.sha256) in self._contents


def _content_digest(path: str, sha256: str) -> bytes:
    return hashlib.sha256(f"{path}\0{sha256}".encode()).digest()[:16]


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
