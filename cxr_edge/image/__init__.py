"""Reading images: from a file of any supported format to uint8 pixels, or a one-line ImageError.

::

    reader        read_image: the entry point
    listing       list_images: the images in a folder
    formats       recognizes the format by content and calls its inspector
    facts         how large and how colourful a picture is, noted while it is read
    pillow        images that Pillow holds
    header        what every inspector returns, and the size limits
    jpeg png bmp tiff webp   the inspectors, one for each format
    ifd           TIFF directories, also used by EXIF
    decode        from the bytes to upright pixels
    libjpeg       the call into simplejpeg, which decodes JPEG strictly
    damage        zeros in JPEG tables and data
    opencv        the calls into OpenCV's decoders, and the checks on their results
    dicom/        DICOM to 8 bits; loaded for the first DICOM file
    codestream    headers of the compressed pixels in DICOM

Work has one bound, the picture that a file announces and that the limits accept: what is read, what
is inflated and what is held in memory. A decoder gets only what was checked.

The reader is imported on first use: ``ImageLimits`` needs no OpenCV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cxr_edge.image.header import ImageLimits

if TYPE_CHECKING:
    from cxr_edge.image.listing import SUFFIXES, list_images
    from cxr_edge.image.reader import read_image

__all__ = ["SUFFIXES", "ImageLimits", "list_images", "read_image"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "read_image":
        from cxr_edge.image import reader

        return reader.read_image
    from cxr_edge.image import listing

    value: object = getattr(listing, name)
    return value
