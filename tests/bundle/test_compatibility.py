"""Bundles of every format ever released open, and keys that come later break none of them.

``data/2.0`` is kept for ever: ``data/make_2_0.py`` says how it was made.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_edge.bundle import embedded as embedded_module
from cxr_edge.bundle import manifest as manifest_module
from cxr_edge.bundle import verify as verify_module
from cxr_edge.bundle.embedded import Embedded
from cxr_edge.bundle.manifest import (
    MANIFEST_NAME,
    ArtifactRecord,
    Manifest,
    dump_manifest,
    parse_manifest,
)
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import replay_bundle
from cxr_edge.classifier import Classifier
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.documents import since
from cxr_edge.engines import installed_engines
from cxr_edge.errors import BundleError
from cxr_edge.spec import ModelSpec

OLD = Path(__file__).parent / "data" / "2.0"

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NextSpec(ModelSpec):
    unit: str = since("2.2", "none")


@dataclass(frozen=True, slots=True)
class NextArtifact(ArtifactRecord):
    stripped: bool = since("2.3", False)


@dataclass(frozen=True, slots=True)
class NextManifest(Manifest):
    """The manifest of a made-up format 2.3: keys came with 2.2 and 2.3, also deep inside."""

    spec: NextSpec
    artifacts: tuple[NextArtifact, ...]
    licence: str | None = since("2.2", None)


@dataclass(frozen=True, slots=True)
class NextEmbedded(Embedded):
    """The document inside its model files."""

    spec: NextSpec


@pytest.fixture
def future(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader and the writer of the made-up format 2.3."""
    monkeypatch.setattr(manifest_module, "FORMAT", "2.3")
    monkeypatch.setattr(manifest_module, "Manifest", NextManifest)
    for module in (embedded_module, verify_module):
        monkeypatch.setattr(module, "Embedded", NextEmbedded)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the old bundle."""
    return Path(shutil.copytree(OLD, tmp_path / "bundle"))


def rewrite(folder: Path, change: Callable[[Values], object]) -> None:
    """Change the manifest, and give it the right hash without the code under test."""
    values = json.loads((folder / MANIFEST_NAME).read_bytes())
    change(values)
    text = json.dumps({**values, "sha256": ""}, indent=2)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST_NAME).write_text(text.replace('"sha256": ""', f'"sha256": "{digest}"', 1))


def refused(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.open(folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def check_opens_and_predicts(folder: Path) -> None:
    """Open, verify on every installed engine, and predict with every file."""
    bundle = Bundle.open(folder)
    assert bundle.manifest.format == "2.0"
    assert bundle.unlisted() == ()
    assert bundle.calibration() is not None
    verdicts = {(v.artifact, v.engine): v.outcome for v in replay_bundle(bundle)}
    assert verdicts == {
        (artifact.name, record.engine): (
            "proven" if record.engine in installed_engines() else "not-installed"
        )
        for artifact in bundle.manifest.artifacts
        for record in artifact.engines
    }
    image = draw_phantom(np.random.default_rng(0), height=120, width=150)
    for name in ("onnx-int8", "onnx-fp32"):
        prediction = Classifier.load(folder, artifact=name).predict(image)
        assert prediction.artifact == name and prediction.label in bundle.manifest.spec.labels
        assert prediction.out_of_domain is not None


def test_a_bundle_of_format_2_0_opens_verifies_and_predicts() -> None:
    check_opens_and_predicts(OLD)


def test_it_is_small_enough_to_be_kept_for_ever() -> None:
    assert sum(path.stat().st_size for path in OLD.iterdir()) < 30_000


def test_it_decides_as_it_always_did() -> None:
    """Golden scores are those of 2026; a phantom drawn from them must score the same."""
    bundle = Bundle.open(OLD)
    golden = bundle.golden()
    artifact, engine = bundle.choose("onnx-fp32", "onnxruntime")
    scale = np.float32(bundle.manifest.spec.input.scale)
    batch = golden.pixels.astype(np.float32) * scale
    scores = np.concatenate([bundle.load(artifact, engine).run(one[np.newaxis]) for one in batch])
    assert scores == pytest.approx(golden.scores, abs=5e-5)


def test_every_bit_of_its_manifest_counts() -> None:
    data = (OLD / MANIFEST_NAME).read_bytes()
    for place in range(len(data)):
        for bit in range(8):
            flipped = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            with pytest.raises(BundleError, match=r"^m\.json: "):
                parse_manifest(flipped, "m.json")


@pytest.mark.parametrize("version", ["2.2", "2.99", "3.0"])
def test_a_newer_format_with_an_unknown_key_is_refused_in_one_line(
    folder: Path, version: str
) -> None:
    rewrite(folder, lambda v: v.update(format=version, licence="MIT"))
    expected = f"format {version}, this cxr-edge reads up to 2.1; update cxr-edge"
    assert refused(folder) == f"{folder / MANIFEST_NAME}: {expected}"


def test_an_unknown_key_of_its_own_version_is_refused(folder: Path) -> None:
    rewrite(folder, lambda v: v.update(licence="MIT"))
    assert "unknown key 'licence'; expected format, sha256" in refused(folder)


@pytest.mark.usefixtures("future")
def test_a_reader_that_knows_later_keys_still_opens_it_with_their_defaults() -> None:
    check_opens_and_predicts(OLD)
    manifest = Bundle.open(OLD).manifest
    assert isinstance(manifest, NextManifest)
    assert (manifest.licence, manifest.spec.unit) == (None, "none")
    assert manifest.spec.input.channel_order == "rgb"
    assert [artifact.stripped for artifact in manifest.artifacts] == [False] * 3


@pytest.mark.usefixtures("future")
@pytest.mark.parametrize(
    ("version", "added", "expected"),
    [
        ("2.0", {"licence": "MIT"}, "unknown key 'licence'"),
        ("2.0", {"unit": "x"}, "unknown key 'spec.unit'"),
        ("2.2", {"unit": "x"}, "the key 'licence' is missing"),
        ("2.2", {"licence": "MIT"}, "the key 'spec.unit' is missing"),
        ("2.2", {"licence": "MIT", "unit": "x", "stripped": True}, "'artifacts[0].stripped'"),
        ("2.3", {"licence": "MIT", "unit": "x"}, "the key 'artifacts[0].stripped' is missing"),
        ("2.4", {"licence": "MIT", "unit": "x"}, "reads up to 2.3; update cxr-edge"),
    ],
)
def test_a_key_must_be_in_files_of_its_version_and_must_not_be_in_older_ones(
    folder: Path, version: str, added: Values, expected: str
) -> None:
    def add(values: Values) -> None:
        values["format"] = version
        if version != "2.0":
            values["spec"]["input"]["channel_order"] = "rgb"
            values["decoding"] = None
            for record in (r for artifact in values["artifacts"] for r in artifact["engines"]):
                record["fast"] = None
        places = {"licence": values, "unit": values["spec"], "stripped": values["artifacts"][0]}
        for key, value in added.items():
            places[key][key] = value

    rewrite(folder, add)
    assert expected in refused(folder)


@pytest.mark.usefixtures("future")
def test_an_old_manifest_is_written_in_the_new_format_and_read_again(folder: Path) -> None:
    manifest = Bundle.open(folder).manifest
    (folder / MANIFEST_NAME).write_bytes(dump_manifest(manifest))
    again = Bundle.open(folder).manifest
    assert again.format == "2.3"
    assert again.artifacts == manifest.artifacts and again.spec == manifest.spec
