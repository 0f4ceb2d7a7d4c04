"""Reading an upload: the memory that it takes."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from starlette.datastructures import Headers

from cxr_edge.service.http.answers import Refusal
from cxr_edge.service.http.settings import ServerSettings
from cxr_edge.service.http.uploads import Upload, UploadMemory

MIB = 2**20
SETTINGS = ServerSettings(max_upload_bytes=8 * MIB)


def read(memory: UploadMemory, mebibytes: int) -> int:
    """Read a body and return its length."""
    left = mebibytes

    async def receive() -> dict[str, object]:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": bytes(MIB), "more_body": left > 0}

    async def read_all() -> int:
        with Upload(memory, SETTINGS) as upload:
            return len(await upload.read(Headers(), receive))

    return asyncio.run(read_all())


def test_an_upload_takes_its_own_size_once() -> None:
    memory = UploadMemory(16 * MIB)
    tracemalloc.start()
    try:
        assert read(memory, 8) == 8 * MIB
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 11 * MIB  # with the piece in hand, and what a growing buffer has in reserve
    assert memory.in_use == 0


@pytest.mark.parametrize("limit", [16, 6])
def test_a_refused_upload_is_forgotten_before_it_is_answered(limit: int) -> None:
    memory = UploadMemory(limit * MIB)
    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as refusal:  # holds the frames that read
            read(memory, 20)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert refusal.value.status == (413 if limit == 16 else 503)
    assert held < 3 * MIB
    assert memory.in_use == 0
