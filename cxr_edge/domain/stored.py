"""The .npz that a bundle keeps a domain in."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.arrays import read_arrays
from cxr_edge.domain.detector import NO_CHROMA_LIMIT, Discriminator, Domain
from cxr_edge.domain.features import FEATURES, SIDE
from cxr_edge.errors import CxrEdgeError

_PIXELS = SIDE * SIDE
_MOST_HIDDEN = 1024
_MOST_BYTES = 2**24
_SHAPES = {
    "mean": (_PIXELS,),
    "components": ("K", _PIXELS),
    "variances": ("K",),
    "residual": (),
    "limit": (),
    "least_detail": (),
}
"""The arrays of every format, in the order of their fields."""
_SHAPES_2_1 = {
    "least_side": (),
    "most_chroma": (),
    "centre": (FEATURES,),
    "scale": (FEATURES,),
    "hidden": (FEATURES, "H"),
    "hidden_bias": ("H",),
    "output": ("H", "G"),
    "output_bias": ("G",),
}
"""The arrays that format 2.1 added; a file has all or none of them."""
_POSITIVE = ("variances", "residual", "limit", "scale")

Arrays = dict[str, npt.NDArray[np.float64]]


def dump_domain(domain: Domain) -> bytes:
    """The bytes of a compressed .npz with the domain's fields."""
    arrays: dict[str, Any] = {name: getattr(domain, name) for name in _SHAPES}
    if domain.discriminator:
        arrays |= {
            name: getattr(domain if name in Domain.__slots__ else domain.discriminator, name)
            for name in _SHAPES_2_1
        }
    buffer = io.BytesIO()
    stored: dict[str, Any] = {name: _halved(array) for name, array in arrays.items()}
    np.savez_compressed(buffer, **stored)
    return buffer.getvalue()


def _halved(values: Any) -> npt.NDArray[Any]:
    """The same values, of 16 bits each where that loses nothing."""
    array = np.asarray(values)
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array


def parse_domain(data: bytes, name: str, error: type[CxrEdgeError]) -> Domain:
    """Read a domain from the bytes of its file.

    Raises:
        error: the bytes are no such .npz, or the parameters are invalid.
    """
    try:
        stored = read_arrays(data, _MOST_BYTES)
        is_old = not any(key in stored for key in _SHAPES_2_1)
        shapes = _SHAPES if is_old else _SHAPES | _SHAPES_2_1
        arrays = {key: np.asarray(stored[key], np.float64) for key in shapes}
    except Exception as err:  # zipfile, zlib and numpy each raise their own
        raise error(f"{name}: not readable as a domain: {err}") from err
    _check_shapes(arrays, shapes, name, error)
    with np.errstate(over="ignore"):  # to infinity, which is refused
        floats = {key: array.astype(np.float32) for key, array in arrays.items()}
    valid = all(np.isfinite(array).all() for array in floats.values())
    valid = valid and all(np.all(floats[key] > 0) for key in _POSITIVE if key in floats)
    if not valid or arrays["least_detail"] < 0:
        raise error(f"{name}: contains invalid PCA parameters; export again or restore it")
    domain = Domain(
        floats["mean"],
        floats["components"],
        floats["variances"],
        float(arrays["residual"]),
        float(arrays["limit"]),
        float(arrays["least_detail"]),
    )
    if is_old:
        return domain
    side, chroma = float(arrays["least_side"]), float(arrays["most_chroma"])
    if side < 0 or not 0 < chroma <= NO_CHROMA_LIMIT:
        raise error(
            f"{name}: the limits of size and chroma are {side:g} and {chroma:g}, expected 0 or more"
            " and above 0 to 255; export again or restore it"
        )
    discriminator = Discriminator(
        floats["centre"],
        floats["scale"],
        floats["hidden"],
        floats["hidden_bias"],
        floats["output"],
        floats["output_bias"],
    )
    return dataclasses.replace(
        domain, discriminator=discriminator, least_side=side, most_chroma=chroma
    )


def _check_shapes(
    arrays: Arrays,
    shapes: dict[str, tuple[int | str, ...]],
    name: str,
    error: type[CxrEdgeError],
) -> None:
    """Refuse arrays whose sizes do not fit each other."""
    components, hidden = arrays["components"], arrays.get("hidden", np.empty((0, 1)))
    outputs = arrays.get("output_bias", np.empty(1))
    sizes = {
        "K": len(components) if components.ndim else 0,
        "H": hidden.shape[1] if hidden.ndim == 2 else 0,
        "G": outputs.size,
    }
    expected = tuple(
        tuple(sizes[side] if isinstance(side, str) else side for side in shape)
        for shape in shapes.values()
    )
    read = tuple(array.shape for array in arrays.values())
    if read != expected or not 0 < sizes["H"] <= _MOST_HIDDEN or not sizes["G"]:
        raise error(f"{name}: its arrays have the shapes {read}, expected {expected}")
