"""What begins like DICOM: a preamble, or without one the first element of a data set.

A data set without a preamble, as sent over a network or written before 1993, is recognized by an
element of group 0002 or 0008 that can come first, with its VR or a plausible length.
"""

from __future__ import annotations

import re

_FIRST_ELEMENT = re.compile(
    # file meta information, explicit: its length, version, or a UID
    rb"\x02\x00(?:\x00\x00UL\x04\x00|\x01\x00OB\x00\x00|[\x02\x03\x10]\x00UI[\x02-\x40]\x00)"
    # group length or length to end, then group 0008 again: explicit, implicit
    rb"|\x08\x00[\x00\x01]\x00(?:UL\x04\x00|\x04\x00\x00\x00).{4}\x08\x00"
    # character set, image type or SOP class: explicit, implicit, big endian
    rb"|\x08\x00(?:[\x05\x08]\x00CS|\x16\x00UI)[\x00-\xfe]\x00"
    rb"|\x08\x00(?:[\x05\x08]\x00[\x02-\x80]\x00{3}[A-Z\\ ]|\x16\x00[\x02-\x40]\x00{3}1\.)"
    rb"|\x00\x08\x00(?:[\x05\x08]CS|\x16UI)\x00[\x00-\xfe]"
    rb"|\x00\x08\x00\x00UL\x00\x04.{4}\x00\x08",
    re.DOTALL,
)


def is_dicom(data: bytes) -> bool:
    """Whether ``data``, the first 132 bytes of a file or more, begins like DICOM."""
    return data[128:132] == b"DICM" or _FIRST_ELEMENT.match(data) is not None
