from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.image.averaging import area_means, blurred


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("rows", "columns", "height", "width"),
    [(16, 16, 16, 16), (17, 300, 16, 7), (150, 151, 16, 16), (1106, 1558, 150, 150), (9, 9, 1, 2)],
)
def test_means_of_areas_are_those_of_opencv(
    rows: int, columns: int, height: int, width: int
) -> None:
    image = noise(rows, columns)
    expected = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    delta = area_means(image, height, width).astype(int) - expected
    assert np.abs(delta).max() <= 1 and (delta != 0).mean() < 0.001


def test_a_channel_of_a_picture_is_averaged_as_it_lies_in_memory() -> None:
    picture = noise(90, 80, 3)
    for channel in range(3):
        alone = np.ascontiguousarray(picture[..., channel])
        np.testing.assert_array_equal(
            area_means(picture[..., channel], 20, 30), area_means(alone, 20, 30)
        )


@pytest.mark.parametrize(
    ("side", "sigma"), [(150, 2.0), (224, 2.99), (31, 0.5), (3, 0.5), (1, 0.5)]
)
def test_a_blur_is_that_of_opencv(side: int, sigma: float) -> None:
    image = noise(side, side + 2).astype(np.float32)
    expected = cv2.GaussianBlur(image, (0, 0), sigma)
    np.testing.assert_allclose(blurred(image, sigma), expected, atol=1e-3)


def test_a_prediction_on_a_jpeg_imports_neither_opencv_nor_typer(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from cxr_edge.data.phantom import phantom_jpeg\n"
        "open('phantom.jpeg', 'wb').write(phantom_jpeg())\n"
        "for name in [n for n in sys.modules if n.split('.')[0] == 'cv2']: del sys.modules[name]\n"
        "from cxr_edge.cli import main\n"
        "sys.argv = ['cxr-edge', 'predict', 'phantom.jpeg', '-f', 'csv']\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'cv2', 'typer', 'rich'} & set(sys.modules)),"
        " 'libraries', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stderr.strip() == "[] libraries"
