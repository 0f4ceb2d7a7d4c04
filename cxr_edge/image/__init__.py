"""Reading images: from a file of any supported format to uint8 pixels, or a one-line ImageError.

::

    reader        read_image: the entry point
    formats       recognizes the format by content and calls its inspector
    header        what every inspector returns, and the size limits
    jpeg png bmp tiff webp   the inspectors, one for each format
    ifd           TIFF directories, also used by EXIF
    decode        the call into OpenCV, and the checks on its result
    damage        JPEG damage that only decoding can reveal
    dicom         DICOM to 8 bits; loaded for the first DICOM file
    dicom_frame   the stored pixels of a DICOM file
"""

from cxr_edge.image.header import ImageLimits
from cxr_edge.image.reader import SUFFIXES, read_image

__all__ = ["SUFFIXES", "ImageLimits", "read_image"]
