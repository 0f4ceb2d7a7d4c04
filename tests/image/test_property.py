"""Mutated files give an image or an error of ours, never another exception."""

from __future__ import annotations

import numpy as np
from fuzz_seeds import seeds
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_edge.errors import ImageError
from cxr_edge.image import ImageLimits, read_image

LIMITS = ImageLimits(max_pixels=2_000_000)


SEEDS = list(seeds().values())


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A seed with up to eight bytes changed, removed, inserted or copied, early ones preferred."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 8))):
        end = draw(st.sampled_from([16, 64, 400, len(data)]))
        at = draw(st.integers(0, min(end, len(data))))
        change = draw(st.sampled_from(["set", "cut", "insert", "remove", "copy", "zero"]))
        length = draw(st.integers(1, 40))
        if change == "set":
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=4))
        elif change == "cut":
            del data[max(at, 1) :]
        elif change == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif change == "remove":
            del data[at : at + length]
        elif change == "copy":
            data[at:at] = data[at : at + length]
        else:
            data[at : at + length] = bytes(length)
    return bytes(data)


def answer(data: bytes) -> str:
    try:
        image = read_image(data, limits=LIMITS, name="x")
    except ImageError as err:
        assert str(err).startswith("x: ")
        assert str(err).isprintable()
        return "refused"
    assert image.dtype == np.uint8
    assert image.ndim == 2
    assert 0 < image.size <= LIMITS.max_pixels
    return "read"


def test_the_seeds_are_read() -> None:
    assert {answer(data) for data in SEEDS} == {"read"}


@settings(max_examples=1_500, deadline=5_000)
@given(mutated())
def test_mutated_files(data: bytes) -> None:
    answer(data)


@settings(max_examples=300, deadline=5_000)
@given(st.sampled_from([seed[:12] for seed in SEEDS] + [bytes(128) + b"DICM"]), st.binary())
def test_noise_behind_a_magic_number(magic: bytes, noise: bytes) -> None:
    answer(magic + noise)
