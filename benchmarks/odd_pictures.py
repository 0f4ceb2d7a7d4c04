"""Draws pictures that nobody should give a radiograph's classifier, for ``out_of_domain.py``.

They share no code with the outliers that the check is fitted on, and many are of other kinds.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""(H, W) grey or (H, W, 3) RGB."""
Random = np.random.Generator
Change = Callable[[Picture, Random], Picture]
"""From a grey radiograph to a picture of it that is none."""


def _u8(values: npt.NDArray[np.floating]) -> Picture:
    return np.asarray(np.rint(values).clip(0, 255), np.uint8)


def film_on_light_box(image: Picture, random: Random) -> Picture:
    """A phone's photo: a tilted film, bright light box around it, dark room, vignette, glare."""
    rows, columns = image.shape
    height, width = int(rows * 1.25), int(columns * 1.25)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    photo = np.full((height, width), random.uniform(10, 50), np.float32)
    box = random.uniform(0.0, 0.08, 4)
    top, left = int(height * box[0]), int(width * box[1])
    photo[top : int(height * (1 - box[2])), left : int(width * (1 - box[3]))] = random.uniform(
        205, 252
    )
    film = 255 - image if random.random() < 0.3 else image
    source = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float32)
    share = random.uniform(0.62, 0.78)
    corners = (source - (columns / 2, rows / 2)) * share * 1.25
    turn = np.radians(random.choice((-1, 1)) * random.uniform(3, 15))
    corners = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    corners += (width / 2, height / 2) + random.uniform(-0.04, 0.04, 2) * (width, height)
    corners += random.uniform(-0.03, 0.03, (4, 2)) * (width, height)
    matrix = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    mask = cv2.warpPerspective(np.ones(image.shape, np.float32), matrix, (width, height))
    warped = cv2.warpPerspective(film, matrix, (width, height)).astype(np.float32)
    photo = photo * (1 - mask) + warped * mask
    radius = np.hypot((y - height / 2) / height, (x - width / 2) / width) / 0.71
    photo *= 1 - random.uniform(0.15, 0.5) * radius**2
    photo = cv2.GaussianBlur(photo, (0, 0), random.uniform(0.5, 1.5))
    return _u8(photo + random.normal(0, random.uniform(1, 6), photo.shape))


def photographed_film(image: Picture, random: Random) -> Picture:
    """As above, but the film nearly fills the photo: a narrow border of any brightness."""
    rows, columns = image.shape
    border = random.uniform(0.03, 0.12)
    level = float(random.choice((15, 120, 240)))
    scale = 1 - 2 * border
    turn = random.choice((-1, 1)) * random.uniform(2, 10)
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), turn, scale)
    film = 255 - image if random.random() < 0.5 else image
    photo = cv2.warpAffine(film, matrix, (columns, rows), borderValue=level).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    photo *= 1 - random.uniform(0.2, 0.5) * (x**2 + y**2) / 2
    return _u8(photo + random.normal(0, 3, photo.shape))


def photo_of_a_screen(image: Picture, random: Random) -> Picture:
    """Moire, a slight tilt, and the screen's frame at one or two borders."""
    rows, columns = image.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    pitch = columns / random.uniform(25, 70)
    turn = random.uniform(-0.6, 0.6)
    bend = random.uniform(-0.3, 0.3) * (x / columns) * y
    waves = np.sin((x * np.cos(turn) + y * np.sin(turn) + bend) * 2 * np.pi / pitch)
    waves += np.sin((y * np.cos(turn) - x * np.sin(turn)) * 2 * np.pi / pitch)
    shown = image * (1 + random.uniform(0.12, 0.25) * waves)
    matrix = cv2.getRotationMatrix2D(
        (columns / 2, rows / 2), random.uniform(-6, 6), random.uniform(0.86, 0.97)
    )
    return _u8(cv2.warpAffine(shown.astype(np.float32), matrix, (columns, rows), borderValue=12))


def screenshot(image: Picture, random: Random) -> Picture:
    """A window with a title bar, a tool bar at the left and a status bar."""
    rows, columns = image.shape
    wide = int(columns * random.uniform(1.15, 1.7))
    tall = int(rows * random.uniform(1.1, 1.3))
    dark = random.random() < 0.5
    window = np.full((tall, wide), 40 if dark else 240, np.uint8)
    ink = 220 if dark else 30
    top, left = int(tall * 0.07), wide - columns - int(0.01 * wide)
    top = min(top, tall - rows)
    window[top : top + rows, max(left, 0) : max(left, 0) + columns] = image
    size = columns / 900
    cv2.putText(
        window, "Viewer - patient 1", (10, top - 10), cv2.FONT_HERSHEY_SIMPLEX, size, ink, 2
    )
    for line in range(8):
        where = (10, top + int((line + 1) * rows / 9))
        cv2.putText(window, "Series", where, cv2.FONT_HERSHEY_SIMPLEX, size * 0.8, ink, 1)
    return window


def side_by_side(image: Picture, random: Random) -> Picture:
    """Before and after, with a gap."""
    gap = np.full((len(image), image.shape[1] // 40), int(random.choice((0, 255))), np.uint8)
    other = _u8(np.roll(image, 3, axis=1) * random.uniform(0.8, 1.2))
    return np.hstack([image, gap, other])


def corner_of_a_page(image: Picture, random: Random) -> Picture:
    """A white page with lines of writing and a radiograph in a corner."""
    rows, columns = (int(side * random.uniform(1.6, 2.4)) for side in image.shape)
    page = np.full((rows, columns), 255, np.uint8)
    for row in range(30, rows, 40):
        cv2.putText(page, "lorem ipsum dolor " * 4, (20, row), cv2.FONT_HERSHEY_SIMPLEX, 1, 40, 2)
    top = 0 if random.random() < 0.5 else rows - len(image)
    left = 0 if random.random() < 0.5 else columns - image.shape[1]
    page[top : top + image.shape[0], left : left + image.shape[1]] = image
    return page


def rotated(image: Picture, random: Random) -> Picture:
    """By 30 to 60 degrees either way, with black corners."""
    rows, columns = image.shape
    turn = random.choice((-1, 1)) * random.uniform(30, 60)
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), turn, 1)
    return np.asarray(cv2.warpAffine(image, matrix, (columns, rows)), np.uint8)


def lateral(image: Picture, random: Random) -> Picture:
    """As narrow as a chest from the side, in the middle of black."""
    rows, columns = image.shape
    narrow = cv2.resize(image, (int(columns * random.uniform(0.35, 0.55)), rows))
    beside = (columns - narrow.shape[1]) // 2
    return np.asarray(
        cv2.copyMakeBorder(narrow, 0, 0, beside, beside, cv2.BORDER_CONSTANT, value=0), np.uint8
    )


def written_over(image: Picture, random: Random) -> Picture:
    """Large letters over the whole radiograph."""
    over = image.copy()
    size = image.shape[1] / random.uniform(250, 500)
    for row in range(int(40 * size), len(image), int(45 * size)):
        letters = "".join(chr(random.integers(65, 91)) for _ in range(30))
        cv2.putText(over, letters, (0, row), cv2.FONT_HERSHEY_DUPLEX, size, 255, int(2 * size) + 1)
    return over


def blocks(image: Picture, random: Random) -> Picture:
    """A thumbnail of 100 pixels in JPEG of quality 2 to 5."""
    small = cv2.resize(image, (100, 100), interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(2, 6))]
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", small, quality)[1], cv2.IMREAD_GRAYSCALE), np.uint8
    )


def sepia(image: Picture, random: Random) -> Picture:
    """Tinted."""
    tint = random.uniform((0.95, 0.8, 0.5), (1.05, 0.9, 0.75))
    return _u8(image[..., None] * tint)


def false_colours(image: Picture, random: Random) -> Picture:
    """Drawn by one of OpenCV's colour maps."""
    maps = (cv2.COLORMAP_JET, cv2.COLORMAP_HOT, cv2.COLORMAP_VIRIDIS, cv2.COLORMAP_RAINBOW)
    return np.ascontiguousarray(cv2.applyColorMap(image, maps[random.integers(4)])[..., ::-1])


def icon(image: Picture, random: Random) -> Picture:
    """The radiograph at 16 to 48 pixels."""
    side = int(random.integers(16, 49))
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _crop(down: float, right: float, height: float, width: float) -> Change:
    def crop(image: Picture, random: Random) -> Picture:
        top, left = int(down * len(image)), int(right * image.shape[1])
        bottom, end = top + int(height * len(image)), left + int(width * image.shape[1])
        return np.ascontiguousarray(image[top:bottom, left:end])

    return crop


def blurred(image: Picture, random: Random) -> Picture:
    """By 20 pixels of 1,280."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), image.shape[1] * 20 / 1280), np.uint8)


CHANGES: dict[str, Change] = {
    "inverted radiographs": lambda image, _: 255 - image,
    "radiographs turned by 90 degrees": lambda image, _: np.ascontiguousarray(np.rot90(image)),
    "upside down": lambda image, _: np.ascontiguousarray(image[::-1, ::-1]),
    "rotated by 30 to 60 degrees": rotated,
    "lower third": _crop(2 / 3, 0, 1 / 3, 1),
    "upper third": _crop(0, 0, 1 / 3, 1),
    "left half": _crop(0, 0, 1, 1 / 2),
    "right third": _crop(0, 2 / 3, 1, 1 / 3),
    "lower left quarter": _crop(1 / 2, 0, 1 / 2, 1 / 2),
    "blurred by 20 of 1280 pixels": blurred,
    "film on a light box, photographed": film_on_light_box,
    "film that fills the photo": photographed_film,
    "screen, photographed, moire": photo_of_a_screen,
    "screenshot of a viewer": screenshot,
    "two side by side": side_by_side,
    "in a corner of a page": corner_of_a_page,
    "as narrow as a lateral view": lateral,
    "written over": written_over,
    "thumbnails in JPEG of quality 2 to 5": blocks,
    "icons of 16 to 48 pixels": icon,
    "sepia": sepia,
    "false colours": false_colours,
}
"""Each kind by the name that the table shows."""


def text_page(random: Random) -> Picture:
    """Black letters on white."""
    page = np.full((400, 300), 255, np.uint8)
    for row in range(20, 400, 22):
        letters = "".join(chr(random.integers(97, 123)) for _ in range(24))
        cv2.putText(page, letters, (8, row), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 1)
    return page


def hand(random: Random) -> Picture:
    """A palm and five fingers with bones: a radiograph of another body part."""
    image = np.zeros((400, 320), np.uint8)
    palm = (160 + int(random.integers(-20, 20)), 290)
    cv2.ellipse(image, palm, (80, 90), 0, 0, 360, 120, -1)
    for finger in range(5):
        turn = np.radians(-150 + 30 * finger + random.uniform(-6, 6))
        length = random.uniform(130, 200)
        end = (int(palm[0] + length * np.cos(turn)), int(palm[1] + length * np.sin(turn)))
        for width, level in ((34, 110), (14, 220)):
            cv2.line(image, palm, end, level, width)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 2), np.uint8)


def cloud(random: Random) -> Picture:
    """Smooth noise with a random length scale."""
    noise = cv2.GaussianBlur(random.standard_normal((150, 150)), (0, 0), random.uniform(2, 30))
    noise -= noise.min()
    return (255 * noise / noise.max()).astype(np.uint8)


def board(random: Random) -> Picture:
    """A checkerboard."""
    side = int(random.integers(8, 60))
    rows, columns = np.indices((300, 300)) // side
    return ((rows + columns) % 2 * 255).astype(np.uint8)


def ramp(random: Random) -> Picture:
    """A linear gradient in a random direction."""
    turn = random.uniform(0, 2 * np.pi)
    rows, columns = np.indices((150, 150))
    values = rows * np.sin(turn) + columns * np.cos(turn)
    values -= values.min()
    return (255 * values / values.max()).astype(np.uint8)


def colour_gradient(random: Random) -> Picture:
    """A linear or round gradient between two colours, in any of the three channels."""
    if random.random() < 0.5:
        share = ramp(random).astype(np.float32)[..., None] / 255
    else:
        y, x = np.mgrid[-1:1:150j, -1:1:150j]
        share = (np.hypot(y - random.uniform(-1, 1), x - random.uniform(-1, 1)) / 2.9)[..., None]
    first, last = random.integers(0, 256, (2, 3))
    return _u8(first + share * (last - first))


def colour_icon(random: Random) -> Picture:
    """32 x 32 pixels of a few shapes in colours."""
    picture = np.full((32, 32, 3), random.integers(0, 256, 3), np.uint8)
    for _ in range(int(random.integers(1, 5))):
        colour = random.integers(0, 256, 3).tolist()
        where = random.integers(4, 28, 2).tolist()
        cv2.circle(picture, where, int(random.integers(3, 14)), colour, -1)
    return picture


DRAWN: dict[str, Callable[[Random], Picture]] = {
    "pages of text": text_page,
    "drawn hands": hand,
    "clouds of noise": cloud,
    "checkerboards": board,
    "ramps": ramp,
    "white noise": lambda random: random.integers(0, 256, (150, 150)).astype(np.uint8),
    "one grey": lambda random: np.full((150, 150), random.integers(256), np.uint8),
    "colour gradients": colour_gradient,
    "colour icons of 32 pixels": colour_icon,
}
"""Pictures with no radiograph in them, by the name that the table shows."""
