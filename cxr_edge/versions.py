"""Versions of installed packages."""

from __future__ import annotations


def package_version(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
    import importlib.metadata  # 10 ms that a start without a profile does not need

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
