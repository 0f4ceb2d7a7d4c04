"""The package's names are imported on first use, and there are no others."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cxr_edge import image


def test_the_reader_is_imported_without_opencv() -> None:
    code = (
        "import sys; from cxr_edge.image import ImageLimits, read_image;print('cv2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout.split() == [b"False"]


def test_every_public_name_exists_and_any_other_is_an_attribute_error() -> None:
    for name in image.__all__:
        assert getattr(image, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'decode_image'"):
        image.decode_image  # noqa: B018
