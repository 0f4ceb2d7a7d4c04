"""What classified an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What classified an image, as a report names it."""

    name: str
    """What people call the model: ``ModelSpec.name``."""
    version: str
    """Version of this package."""
    bundle: str
    """SHA-256 of the bundle's manifest, 64 hexadecimal digits."""
    artifact: str
    """The model file that ran."""
    engine: str
    """The engine that ran it."""
