"""Reports and heat maps before other readers; needs Debian's dcmtk and dicom3tools."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("highdicom", reason="reports need the extra 'dicom'")

from radiographs import (
    ALGORITHM,
    FULL,
    MANY,
    SPEC,
    WHEN,
    draw_radiograph,
    predicted,
    predicted_of_many,
)

from cxr_edge.dicom import heatmap_image, structured_report
from cxr_edge.results import Explanation, Prediction
from cxr_edge.spec import ModelSpec

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not all(map(shutil.which, ("dsrdump", "dcm2json", "dciodvfy"))),
        reason="needs Debian's dcmtk and dicom3tools",
    ),
]

NO_THRESHOLD = dataclasses.replace(MANY, name="chest")
CASES: dict[str, tuple[dict[str, Any], Prediction, ModelSpec]] = {
    "no patient": ({}, predicted(), SPEC),
    "full": (FULL, predicted(0.1), SPEC),
    "out of domain": (FULL, predicted(out_of_domain=True), SPEC),
    "uncertain, domain unknown": (FULL, predicted(0.55, out_of_domain=None), SPEC),
    "several labels, no threshold": (FULL, predicted_of_many(), NO_THRESHOLD),
    "Japanese": (
        FULL
        | {
            "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
            "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        },
        predicted(),
        SPEC,
    ),
    "UTF-8": (
        FULL | {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Wang^XiaoDong=王^小東"},
        predicted(),
        SPEC,
    ),
    "Cyrillic": (
        FULL | {"SpecificCharacterSet": "ISO_IR 144", "PatientName": "Дзюбин^Эдуард"},
        predicted(),
        SPEC,
    ),
    "odd values": (
        FULL
        | {
            "PatientName": "a=b=c=d",
            "PatientID": "x" * 65,
            "PatientSex": "female",
            "PatientBirthDate": "1950.02.28",
            "StudyTime": "24:00",
            "StudyID": "x" * 17,
            "PatientIdentityRemoved": "YES",
            "TimezoneOffsetFromUTC": "+0200",
        },
        predicted(),
        SPEC,
    ),
}
ACCEPTED = (
    r"Unrecognized defined term <99CXREDGE> for value 1 of attribute <Coding Scheme Designator>",
    r"Missing attribute or value that would be needed to build DICOMDIR - .*",  # not in the source
    r"is only permitted to be empty when actually unknown; .* attribute <Laterality>",  # it is
    r"Value dubious for this VR - .* Retired Person Name form",  # the source's
)
"""Warnings of dciodvfy."""
DUMPS_UTF_8_UNCHECKED = "W: The VR checker does not support this Specific Character Set: ISO_IR 192"


def call(*command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, check=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


def check(path: Path) -> dict[str, Any]:
    """Let dciodvfy and dcm2json read a file.

    Returns:
        The data set in JSON.
    """
    for line in filter(None, call("dciodvfy", path).splitlines()):
        assert not line.startswith("Error"), line
        message = line.removeprefix("Warning - ")
        assert message == line or any(re.fullmatch(p, message) for p in ACCEPTED), line
    document: dict[str, Any] = json.loads(call("dcm2json", path))
    return document


def dump(path: Path) -> str:
    text = call("dsrdump", "+Pl", path).replace(f"{DUMPS_UTF_8_UNCHECKED}\n", "")
    assert not re.search(r"^[WEF]: ", text, re.MULTILINE), text
    return text


@pytest.mark.parametrize("name", CASES)
def test_other_readers_accept_a_report(name: str, tmp_path: Path) -> None:
    tags, prediction, spec = CASES[name]
    path = tmp_path / "x.sr.dcm"
    source = draw_radiograph(**tags)
    path.write_bytes(structured_report(source, prediction, spec, ALGORITHM, when=WHEN))
    document = check(path)
    text = dump(path)
    assert "Research use only, not for diagnosis." in text
    assert ("OUT OF DOMAIN" in text) is bool(prediction.out_of_domain)
    assert ("UNCERTAIN: " in text) is prediction.uncertain
    if name in ("Japanese", "UTF-8", "Cyrillic"):
        groups = document["00100010"]["Value"][0]
        written = [groups.get(kind) for kind in ("Alphabetic", "Ideographic", "Phonetic")]
        assert "=".join(filter(None, written)) == tags["PatientName"]


@pytest.mark.parametrize("name", CASES)
def test_other_readers_accept_a_heat_map(name: str, tmp_path: Path) -> None:
    tags, prediction, spec = CASES[name]
    random = np.random.default_rng(3)
    image = random.integers(0, 256, (333, 401), np.uint8)
    explanation = Explanation(prediction, random.random((5, 5), np.float32), image, spec)
    path = tmp_path / "x.heatmap.dcm"
    path.write_bytes(heatmap_image(draw_radiograph(**tags), explanation, ALGORITHM, when=WHEN))
    assert check(path)["00280004"]["Value"] == ["RGB"]


@pytest.fixture
def write_of_shared(data_root: Path, tmp_path: Path) -> Callable[[str], Path]:
    def write(name: str) -> Path:
        source = (data_root / "dicom" / name).read_bytes()
        path = tmp_path / "x.sr.dcm"
        path.write_bytes(structured_report(source, predicted(), SPEC, ALGORITHM, when=WHEN))
        return path

    return write


@pytest.mark.parametrize(
    "name",
    [
        "rg1_chest_monochrome1_j2k_lossy.dcm",
        "rsna_cr_monochrome2.dcm",
        "rsna_cr_retagged_monochrome1.dcm",
    ],
)
def test_other_readers_accept_reports_about_real_files(
    name: str, write_of_shared: Callable[[str], Path]
) -> None:
    path = write_of_shared(name)
    check(path)
    assert 'NUM:(,,"Probability")="0.93" (1,UCUM,"no units")' in dump(path)
