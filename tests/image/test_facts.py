"""Size and colour of a picture are noted while it is read, in every format."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from cxr_edge.data.phantom import draw_phantom
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.image.facts import PictureFacts
from cxr_edge.sources import decode_source

GREY = draw_phantom(np.random.default_rng(0), height=180, width=150)
AS_RGB = np.repeat(GREY[..., np.newaxis], 3, axis=2)
TINTED = np.stack([GREY // 3, GREY // 2, GREY], axis=2)  # blue, green, red
CHROMA = float((GREY - GREY // 3).mean())


def noted(data: bytes, channels: int) -> PictureFacts:
    facts = PictureFacts()
    with_facts = read_image(data, channels=3 if channels == 3 else 1, facts=facts)
    np.testing.assert_array_equal(with_facts, read_image(data, channels=3 if channels == 3 else 1))
    return facts


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_a_file_tells_its_size_and_its_colour(suffix: str, channels: int) -> None:
    for image, chroma in ((GREY, 0.0), (AS_RGB, 0.0), (TINTED, CHROMA)):
        plain = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if suffix == ".tiff" else []
        facts = noted(cv2.imencode(suffix, image, plain)[1].tobytes(), channels)
        assert facts.side == 150
        assert facts.chroma == pytest.approx(chroma, abs=3)


def test_an_array_and_an_image_of_pillow_tell_the_same() -> None:
    rgb = np.ascontiguousarray(TINTED[..., ::-1])
    for source in (rgb, Pillow.fromarray(rgb)):
        facts = PictureFacts()
        decode_source(
            source, channels=1, limits=ImageLimits(), name=None, shrink_for=None, facts=facts
        )
        assert facts.side == 150 and facts.chroma == pytest.approx(CHROMA, abs=1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_the_smallest_pictures_have_a_colour_too(suffix: str) -> None:
    for height in (1, 3, 7, 8, 9, 17):
        for width in (1, 7, 8, 40, 700):
            blue = np.full((height, width, 3), (200, 20, 20), np.uint8)
            facts = noted(cv2.imencode(suffix, blue)[1].tobytes(), 1)
            assert facts.side == min(height, width) and facts.chroma > 100
