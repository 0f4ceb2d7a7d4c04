r"""Text for pictures, drawn by OpenCV alone: a device has no other library for it.

OpenCV before 5 draws ASCII only, and every version draws ``?`` for a character that its font lacks.
Such characters are written as their escape here, for example ``\u80ba``, so that two labels never
look the same.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.files import printable

Colour = tuple[int, int, int]
"""Blue, green, red, each 0..255."""
Picture = npt.NDArray[np.uint8]
"""(H, W, 3) blue, green, red, 0..255: what OpenCV writes to a file."""

BACKGROUND: Colour = (30, 30, 30)
INK: Colour = (235, 235, 235)
ELLIPSIS = "..."

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALES = 0.45, 0.9  # of the font: legible on the smallest picture, no larger than needed
_BOLD_SCALE = 0.6  # below it, strokes of two pixels run into each other
_WIDTH_AT_SCALE_1 = 1100  # pixels
_LONGEST = 500  # characters of a text that are looked at: no width shows more


@dataclass(frozen=True, slots=True)
class Lettering:
    """Rows of text of one width, in a size that suits it."""

    width: int
    """Width of every row, pixels."""

    @property
    def scale(self) -> float:
        """Size of the font, relative to OpenCV's."""
        smallest, largest = _SCALES
        return min(max(self.width / _WIDTH_AT_SCALE_1, smallest), largest)

    @property
    def row_height(self) -> int:
        """Height of a row, pixels."""
        return round(44 * self.scale)

    @property
    def margin(self) -> int:
        """Left and right of the text, pixels."""
        return round(16 * self.scale)

    @property
    def text_width(self) -> int:
        """What a row's text may take, pixels."""
        return self.width - 2 * self.margin

    def measure(self, text: str, *, bold: bool = False) -> int:
        """Width of a text, pixels."""
        (width, _), _ = cv2.getTextSize(text, _FONT, self.scale, self._thickness(bold))
        return width

    def shorten(self, text: str, width: int, *, bold: bool = False) -> str:
        """The text as it can be drawn, or as much of it as ``width`` pixels hold, and an ellipsis.

        Args:
            text: anything; characters that cannot be drawn are escaped.
            width: pixels.
            bold: whether it will be drawn in bold.
        """
        text = drawable(text[:_LONGEST])
        if self.measure(text, bold=bold) <= width:
            return text
        while text and self.measure(text + ELLIPSIS, bold=bold) > width:
            text = text[:-1]
        return text.rstrip() + ELLIPSIS

    def wrap(self, text: str) -> list[str]:
        """Break a text between words; a word longer than a row is shortened."""
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.measure(longer) <= self.text_width:
                lines[-1] = longer
            else:
                lines.append(self.shorten(word, self.text_width))
        return lines

    def rows(self, text: str, colour: Colour = INK) -> list[Picture]:
        """A text, wrapped, as pictures of one row each."""
        return [self.row(line, colour) for line in self.wrap(text)]

    def row(self, text: str, colour: Colour = INK, *, left: int = 0, bold: bool = False) -> Picture:
        """One line of text on the background.

        Args:
            text: what fits, from :meth:`shorten` or :meth:`wrap`.
            colour: of the text.
            left: where it starts, pixels from the margin.
            bold: whether its strokes are twice as thick, where the picture is large enough.

        Returns:
            (row_height, width, 3) uint8.
        """
        picture = np.full((self.row_height, self.width, 3), BACKGROUND, np.uint8)
        start = self.margin + left, round(0.7 * self.row_height)
        thickness = self._thickness(bold)
        cv2.putText(picture, text, start, _FONT, self.scale, colour, thickness, cv2.LINE_AA)
        return picture

    def _thickness(self, bold: bool) -> int:
        return 2 if bold and self.scale >= _BOLD_SCALE else 1


def drawable(text: str) -> str:
    """The text with every character that OpenCV here cannot draw replaced by its escape."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(c if c.isascii() or _is_drawn(c) else _escape(c) for c in printable(composed))


@functools.cache
def _is_drawn(character: str) -> bool:
    """Whether OpenCV's font has a character: whether it looks unlike a ``?`` for each byte."""
    question_marks = "?", "?" * len(character.encode())
    drawn = _bitmap(character)
    return bool(drawn.any()) and not any(
        np.array_equal(drawn, _bitmap(text)) for text in question_marks
    )


def _bitmap(text: str) -> Picture:
    canvas = np.zeros((40, 100, 3), np.uint8)
    cv2.putText(canvas, text, (10, 28), _FONT, 0.5, (255, 255, 255))
    return canvas


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode()
