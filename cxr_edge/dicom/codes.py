"""The coded concepts of a report: of the standard where it has one, else of our own scheme."""

from __future__ import annotations

import hashlib
import re

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cxr_edge.dicom.writing import clean

SCHEME = "99CXREDGE"
"""Designator of the private coding scheme."""

PLAIN_CHEST_RADIOGRAPHY = Code("399208008", "SCT", "Plain chest X-ray")
PLAIN_RADIOGRAPHY = codes.SCT.PlainRadiography
COMMENT = codes.DCM.Comment
SUMMARY = codes.DCM.Summary
DEVICE = codes.DCM.Device
ASSOCIATED_FINDING = Code("246090004", "SCT", "Associated finding")
PROBABILITY = codes.DCM.Probability
NO_UNITS = codes.UCUM.NoUnits
YES, NO = Code("373066001", "SCT", "Yes"), Code("373067005", "SCT", "No")
UNKNOWN = Code("261665006", "SCT", "Unknown")

DECISION = Code("DECISION", SCHEME, "Decision of the classifier")
THRESHOLD = Code("THRESHOLD", SCHEME, "Decision threshold")
UNCERTAIN = Code("UNCERTAIN", SCHEME, "Score in the uncertainty band")
OUT_OF_DOMAIN = Code("OUT-OF-DOMAIN", SCHEME, "Image unlike the training images")
NO_FINDING_STATED = Code("NOT-STATED", SCHEME, "Image out of domain, no finding stated")

_KNOWN_LABELS = {"PNEUMONIA": Code("233604007", "SCT", "Pneumonia")}
_READABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,12}[A-Za-z0-9_.-]|[A-Za-z0-9]")


def label_code(label: str) -> Code:
    """The code of a label: SNOMED CT for pneumonia, else a private one made from its name."""
    if known := _KNOWN_LABELS.get(label.strip().upper()):
        return known
    if _READABLE.fullmatch(label):
        value = f"L:{label}"
    else:  # not a valid code, or longer than its 16 characters
        value = f"L#{hashlib.sha256(label.encode()).hexdigest()[:14]}"
    return Code(value, SCHEME, clean(label, 64) or "(label without a name)")


def yes_or_no(flag: bool | None) -> Code:
    """A flag as a code; None: unknown."""
    return UNKNOWN if flag is None else YES if flag else NO
