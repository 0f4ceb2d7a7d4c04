"""Signed bundles: an Ed25519 signature (RFC 8032) over the bytes of ``manifest.json``.

The manifest holds the hash of every file, so its signature covers the bundle. The signature is a
file of 64 bytes beside the manifest, named after the manifest's own hash: a new one never replaces
that of the bundle which is still in place. Keys are PEM files, as OpenSSL makes them::

    openssl genpkey -algorithm ed25519 -out key.pem
    openssl pkey -in key.pem -pubout -out key.pub

and OpenSSL checks a signature too (``openssl pkeyutl -verify -pubin -inkey key.pub -rawin -in
manifest.json -sigfile manifest.….sig``).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cxr_edge.errors import BundleError, UsageError
from cxr_edge.extras import require
from cxr_edge.files import PathLike, printable, read_file, write_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SIGNATURE_BYTES = 64
"""Size of a signature file."""
_MAX_KEY_BYTES = 2**14
_MADE = "one that 'openssl genpkey -algorithm ed25519' makes"
_TO_PUBLIC = "openssl pkey -in KEY -pubout -out key.pub"


def signature_name(manifest_sha256: str) -> str:
    """Name of the signature file of the manifest with a hash.

    Args:
        manifest_sha256: ``Manifest.sha256``.
    """
    return f"manifest.{manifest_sha256[:12]}.sig"


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key to sign with.

    Args:
        path: PEM, PKCS #8, without a password.

    Raises:
        UsageError: it cannot be read, or is no such key.
        MissingExtraError: ``cryptography`` is not installed (extra ``sign``).
    """
    key = _read_key(path, "load_pem_private_key", {"password": None}, "a private key")
    if not _is_ed25519(key, "Ed25519PrivateKey"):
        raise UsageError(f"{printable(path)}: is no Ed25519 key, expected {_MADE}")
    return cast("Ed25519PrivateKey", key)


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read the public key that a bundle must be signed for.

    Args:
        path: PEM.

    Raises:
        UsageError: it cannot be read, or is no such key.
        MissingExtraError: ``cryptography`` is not installed (extra ``sign``).
    """
    key = _read_key(path, "load_pem_public_key", {}, "a public key")
    if not _is_ed25519(key, "Ed25519PublicKey"):
        raise UsageError(f"{printable(path)}: is no Ed25519 key, expected {_MADE}")
    return cast("Ed25519PublicKey", key)


def sign(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """The signature of a manifest's bytes."""
    return key.sign(manifest)


def sign_bundle(folder: PathLike, key: PathLike) -> Path:
    """Sign a bundle that is there.

    Args:
        folder: the bundle.
        key: file of the private key.

    Returns:
        The signature's file.

    Raises:
        BundleError: there is no bundle.
        UsageError: the key cannot be used.
        OutputError: the signature cannot be written.
    """
    from cxr_edge.bundle.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, parse_manifest

    data = read_file(Path(folder, MANIFEST_NAME), max_bytes=MAX_MANIFEST_BYTES, error=BundleError)
    path = Path(folder, signature_name(parse_manifest(data).sha256))
    write_file(path, sign(data, read_private_key(Path(key))))
    return path


def check_signature(folder: Path, manifest: bytes, manifest_sha256: str, key: Path) -> None:
    """Refuse a bundle that is not signed for a public key.

    Args:
        folder: the bundle.
        manifest: the bytes of its manifest.
        manifest_sha256: the manifest's own hash.
        key: file of the public key.

    Raises:
        BundleError: there is no signature, or it is another key's or another manifest's.
        UsageError: the key cannot be used.
        MissingExtraError: ``cryptography`` is not installed (extra ``sign``).
    """
    public = read_public_key(key)
    path = folder / signature_name(manifest_sha256)
    name = printable(folder)
    if not os.path.lexists(path):  # a link is for read_file to refuse
        others = sorted(other.name for other in folder.glob("manifest.*.sig"))
        if others:
            raise BundleError(
                f"{name}: holds the signature of another manifest ({printable(others[0])}), "
                f"expected {path.name}; it was changed after it was signed, get the bundle again"
            )
        raise BundleError(
            f"{name}: the bundle is not signed, expected a signature for {printable(key)}; get one "
            "that is from whoever holds the key ('cxr-edge export --sign KEY' makes it)"
        )
    signature = read_file(path, max_bytes=SIGNATURE_BYTES, error=BundleError, follow_symlinks=False)
    invalid = require("cryptography.exceptions", "sign").InvalidSignature
    try:
        public.verify(signature, manifest)
    except invalid as err:
        raise BundleError(
            f"{name}: the signature is not by {printable(key)}, or the manifest was changed after "
            "it was signed; get the bundle again, or check which key it was signed with"
        ) from err


def _read_key(path: Path, loader: str, options: dict[str, Any], what: str) -> Any:
    data = read_file(path, max_bytes=_MAX_KEY_BYTES, error=UsageError)
    serialization = require("cryptography.hazmat.primitives.serialization", "sign")
    try:
        return getattr(serialization, loader)(data, **options)
    except TypeError as err:  # what the library raises for a password that is missing
        raise UsageError(
            f"{printable(path)}: is protected by a password; give a key without one"
        ) from err
    except Exception as err:  # ValueError, UnsupportedAlgorithm and others
        if b"PRIVATE KEY-----" in data and "public" in what:
            advice = f"is a private key; give the public one, which '{_TO_PUBLIC}' makes"
        elif b"PUBLIC KEY-----" in data and "private" in what:
            advice = "is a public key, expected the private one that belongs to it"
        else:
            advice = f"cannot be read as {what} in PEM, expected {_MADE}"
        raise UsageError(f"{printable(path)}: {advice}") from err


def _is_ed25519(key: Any, kind: str) -> bool:
    ed25519 = require("cryptography.hazmat.primitives.asymmetric.ed25519", "sign")
    return isinstance(key, getattr(ed25519, kind))
