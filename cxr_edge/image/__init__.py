"""Images in: every format to the same uint8 pixels, or one line that says why not."""

from cxr_edge.image.header import ImageLimits
from cxr_edge.image.reader import SUFFIXES, read_image

__all__ = ["SUFFIXES", "ImageLimits", "read_image"]
