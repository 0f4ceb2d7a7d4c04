"""Which images the results have already: some 120 bytes of memory for each row, not the row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cxr_edge.archive.formats import Standing
from cxr_edge.archive.listing import ImageFile
from cxr_edge.archive.rows import LEFT_OUT, Row, row_id


class _Last(NamedTuple):
    """The last row of a path that has several."""

    attempt: int
    row: bytes
    """Digest of its id, without the attempt."""
    is_done: bool
    content: bytes | None


class Settled:
    """What earlier runs have settled, and which of their failures are to be tried again.

    Of the rows of one path, the one with the highest attempt is about the file as it is now; those
    before it settle nothing, also if the file becomes what it was.

    Args:
        standings: of all rows.
        bundle_sha256: of the bundle that runs now; rows of others say nothing.
        retry_failed: whether failures are to be tried again, all but what was left out.
    """

    def __init__(
        self, standings: Iterable[Standing], bundle_sha256: str, *, retry_failed: bool
    ) -> None:
        self._bundle, self._retry_failed = bundle_sha256, retry_failed
        listed, contents, paths = bytearray(), bytearray(), bytearray()
        self._failed: set[bytes] = set()
        self._last: dict[bytes, _Last] = {}  # of the few paths with more than one
        for row in standings:
            if row.bundle_sha256 != bundle_sha256:
                continue
            digest, path = bytes.fromhex(row.id[:32]), _digest(row.path)
            is_done = row.ok or row.error == LEFT_OUT
            is_settled = is_done or not retry_failed
            content = None
            if is_settled and row.sha256 is not None:
                content = _content(row.path, row.sha256, is_done=is_done)
            if row.attempt > 1:
                last = self._last.get(path)
                if last is None or row.attempt > last.attempt:
                    self._last[path] = _Last(row.attempt, digest, is_done, content)
                continue
            paths += path
            contents += content or b""
            if is_settled:
                listed += digest
            if not is_done:
                self._failed.add(digest)
        self._listed, self._contents = _Digests(listed), _Digests(contents)
        self._paths = _Digests(paths)

    def next_attempt(self, image: ImageFile) -> int:
        """The number of the attempt to make at an image; 0: it is settled."""
        row, path = bytes.fromhex(row_id(image, self._bundle)), _digest(image.name)
        if last := self._last.get(path):
            is_settled = last.row == row and (last.is_done or not self._retry_failed)
            return 0 if is_settled else last.attempt + 1
        return 0 if row in self._listed else 1 + (path in self._paths)

    def has_failed(self, image: ImageFile) -> bool:
        """Whether the last attempt at an image, as it is listed, has failed."""
        row = bytes.fromhex(row_id(image, self._bundle))
        if last := self._last.get(_digest(image.name)):
            return last.row == row and not last.is_done
        return row in self._failed

    def has_content_of(self, row: Row) -> bool:
        """Whether the row before of this path has its content and came to as much.

        Then the file was only touched. A failure that is none any more is another result.
        """
        if row.sha256 is None:
            return False
        content = _content(row.path, row.sha256, is_done=not row.is_failure)
        if last := self._last.get(_digest(row.path)):
            return last.attempt == row.attempt - 1 and last.content == content
        return row.attempt == 2 and content in self._contents


def _content(path: str, sha256: str, *, is_done: bool) -> bytes:
    return _digest(path, sha256, str(is_done))


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
