"""Text on pictures: whole where it fits, shortened where it does not, and never a silent ``?``."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from cxr_edge import lettering
from cxr_edge.lettering import BACKGROUND, ELLIPSIS, Lettering, drawable


@pytest.fixture
def ascii_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """OpenCV before version 5: a ``?`` for each byte of what is not ASCII."""
    put_text = cv2.putText

    def put_ascii(picture: np.ndarray, text: str, *rest: object) -> np.ndarray:
        drawn = "".join(c if c.isascii() else "?" * len(c.encode()) for c in text)
        return put_text(picture, drawn, *rest)

    monkeypatch.setattr(cv2, "putText", put_ascii)
    lettering._is_drawn.cache_clear()
    yield
    lettering._is_drawn.cache_clear()


def test_ascii_is_drawn_as_it_is() -> None:
    text = "P(PNEUMONIA) = 0.9? ~!"
    assert drawable(text) == text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Lungenentzündung", r"Lungenentz\xfcndung"),
        ("e\u0301", r"\xe9"),  # composed first
        ("肺炎", r"\u80ba\u708e"),
        ("😀", r"\U0001f600"),
        ("a\nb\x1b", r"a\nb\x1b"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
    ],
)
def test_a_font_without_a_character_shows_its_escape(
    ascii_font: None, text: str, escaped: str
) -> None:
    assert drawable(text) == escaped


@pytest.mark.parametrize("text", ["é", "肺", "Ж", "न", "😀", "\ue000", "א", "\u0301", "\u3000"])
def test_the_font_here_draws_a_character_or_it_is_escaped(text: str) -> None:
    """True of every version of OpenCV, whichever characters its font has."""
    shown = drawable(text)
    if shown == text:
        row = Lettering(320).row(text)
        assert (row != BACKGROUND).any()
        for question_marks in ("?", "?" * len(text.encode())):
            assert not np.array_equal(row, Lettering(320).row(question_marks))
    else:
        assert shown.startswith("\\") and shown.isascii()


@pytest.mark.parametrize("width", [100, 320, 1024])
@pytest.mark.parametrize("bold", [False, True])
def test_a_text_is_shortened_to_a_width_and_says_so(width: int, bold: bool) -> None:
    text = Lettering(width)
    shown = text.shorten("word " * 1000, text.text_width, bold=bold)
    assert shown.endswith(ELLIPSIS)
    assert text.measure(shown, bold=bold) <= text.text_width
    row = text.row(shown, bold=bold)
    assert row.shape == (text.row_height, width, 3)
    assert np.all(row[:, -2:] == BACKGROUND)


def test_a_text_that_fits_is_not_shortened() -> None:
    text = Lettering(320)
    assert text.shorten("NORMAL", text.measure("NORMAL")) == "NORMAL"
    assert text.shorten("NORMAL", text.measure("NORMAL") - 1).endswith(ELLIPSIS)


def test_wrapping_keeps_every_word_and_shortens_only_what_no_row_holds() -> None:
    text = Lettering(320)
    words = "a heat map shows what moved the score, not where a disease is " * 3
    lines = text.wrap(words)
    assert " ".join(lines).split() == words.split()
    assert len(lines) > 1 and all(text.measure(line) <= text.text_width for line in lines)
    short, long = text.wrap("label " + "x" * 300)
    assert short == "label" and long.startswith("xxx") and long.endswith(ELLIPSIS)


def test_nothing_is_drawn_outside_a_row() -> None:
    """Letters with ascenders and descenders, in every size, have room above and below."""
    for width in (320, 640, 1024, 4000):
        row = Lettering(width).row("ÅgjpqyQ(|)_", bold=True)
        assert np.all(row[0] == BACKGROUND) and np.all(row[-1] == BACKGROUND)
