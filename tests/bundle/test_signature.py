"""Signed bundles: a device that has a key takes no bundle that the key's holder did not sign."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cxr_edge.bundle.manifest import MANIFEST_NAME, dump_manifest
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.signature import (
    SIGNATURE_BYTES,
    check_signature,
    read_private_key,
    read_public_key,
    sign_bundle,
    signature_name,
)
from cxr_edge.classifier import Classifier
from cxr_edge.cli.tree import application
from cxr_edge.errors import BundleError, CxrEdgeError, MissingExtraError, UsageError
from cxr_edge.export.commit import commit

pytest.importorskip("cryptography", reason="signatures need the extra 'sign'")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

PEM, RAW = serialization.Encoding.PEM, serialization.NoEncryption()


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A new private key and its public one."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, RAW))
    public.write_bytes(
        key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, "key")


@pytest.fixture
def signed(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(Bundle.open().folder, folder)
    sign_bundle(folder, keys[0])
    return folder


def test_a_signed_bundle_opens_with_its_key_and_without_one(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    assert Classifier.load(signed, key=keys[1]).bundle == signed
    assert Bundle.open(signed).unlisted() == ()


def test_an_export_signs_its_bundle_and_removes_the_signature_of_the_old_one(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    bundle = Bundle.open(signed)
    contents = {record.file: bundle.read(record) for record in bundle.manifest.files}
    spec = dataclasses.replace(bundle.manifest.spec, name="another")
    changed = dataclasses.replace(bundle.manifest, spec=spec)
    old = signed / signature_name(bundle.manifest.sha256)
    assert old.exists()
    commit(signed, changed, contents, key=read_private_key(keys[0]))
    assert Bundle.open(signed, key=keys[1]).unlisted() == () and not old.exists()
    commit(signed, bundle.manifest, contents)
    assert "is not signed" in refusal(signed, keys[1])


@pytest.mark.parametrize(
    "command", [("verify",), ("predict", "image.png", "-b"), ("info",), ("tune", "--forget")]
)
def test_the_command_line_takes_a_key(
    signed: Path, keys: tuple[Path, Path], command: tuple[str, ...]
) -> None:
    arguments = [*command, str(signed), "--key", str(keys[1])]
    good = CliRunner().invoke(application(), arguments)
    assert not isinstance(good.exception, BundleError), good.exception
    (signed / signature_name(Bundle.open(signed).manifest.sha256)).unlink()
    bad = CliRunner().invoke(application(), arguments)
    assert isinstance(bad.exception, BundleError) and "is not signed" in str(bad.exception)


def test_openssl_finds_the_signature_right(signed: Path, keys: tuple[Path, Path]) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    signature = signed / signature_name(Bundle.open(signed).manifest.sha256)
    command = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", keys[1], "-rawin"]
    command += ["-in", signed / MANIFEST_NAME, "-sigfile", signature]
    done = subprocess.run([*map(str, command)], capture_output=True, check=False)
    assert done.returncode == 0, done


def refusal(folder: Path, key: Path) -> str:
    with pytest.raises(CxrEdgeError) as caught:
        Classifier.load(folder, key=key)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and len(message) <= 400
    assert isinstance(caught.value, BundleError), message
    return message


def test_a_bundle_without_a_signature_is_refused(keys: tuple[Path, Path]) -> None:
    assert "is not signed" in refusal(Bundle.open().folder, keys[1])


def test_another_key_s_signature_is_refused(signed: Path, tmp_path: Path) -> None:
    _, other = write_keys(tmp_path, "other")
    assert "the signature is not by" in refusal(signed, other)


@pytest.mark.parametrize("place", range(0, SIGNATURE_BYTES, 7))
def test_a_changed_signature_is_refused(signed: Path, keys: tuple[Path, Path], place: int) -> None:
    path = signed / signature_name(Bundle.open(signed).manifest.sha256)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert "the signature is not by" in refusal(signed, keys[1])


def test_a_cut_or_longer_signature_and_a_link_are_refused(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    path = signed / signature_name(Bundle.open(signed).manifest.sha256)
    data = path.read_bytes()
    for changed in (data[:-1], data + b"\n"):
        path.write_bytes(changed)
        refusal(signed, keys[1])
    (tmp_path / "elsewhere").write_bytes(data)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    refusal(signed, keys[1])
    (tmp_path / "elsewhere").unlink()
    assert "another manifest" not in refusal(signed, keys[1])


def test_the_signature_of_another_manifest_is_refused(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    """Whoever changes a manifest can mend its hash, and rename the signature, but not sign."""
    manifest = Bundle.open(signed).manifest
    old = signed / signature_name(manifest.sha256)
    spec = dataclasses.replace(manifest.spec, threshold=0.99)
    (signed / MANIFEST_NAME).write_bytes(dump_manifest(dataclasses.replace(manifest, spec=spec)))
    assert "holds the signature of another manifest" in refusal(signed, keys[1])
    old.rename(signed / signature_name(Bundle.open(signed).manifest.sha256))
    assert "the signature is not by" in refusal(signed, keys[1])


def test_keys_that_cannot_be_used_are_usage_errors(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = keys
    other = rsa.generate_private_key(65537, 2048)
    files = {
        "rsa.pem": other.private_bytes(PEM, serialization.PrivateFormat.PKCS8, RAW),
        "locked.pem": read_private_key(private).private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        ),
        "text.pem": b"a text",
        "large.pem": bytes(2**20),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError, match=name):
            read_private_key(tmp_path / name)
    (tmp_path / "rsa.pub").write_bytes(
        other.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for path in (private, tmp_path / "rsa.pub", tmp_path / "nowhere.pub", tmp_path):
        with pytest.raises(UsageError):
            read_public_key(path)
    with pytest.raises(UsageError, match="is a public key"):
        sign_bundle(str(signed), str(public))
    with pytest.raises(UsageError, match="is a private key; give the public one"):
        read_public_key(private)


def test_without_the_package_it_is_named(
    signed: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [n for n in sys.modules if n.split(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtraError, match=r"cryptography.*cxr-edge\[sign\]"):
        check_signature(signed, b"", Bundle.open(signed).manifest.sha256, keys[1])
