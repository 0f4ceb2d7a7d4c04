"""Whether an image is of the kind that the network was trained on.

A classifier with two labels is as confident about a holiday photograph as about a radiograph. Four
checks mark what the network was not trained for:

::

    features   16 x 16 pixels, texture and sharpness of an image
    detector   Domain: the distance from the training images, and what tells outliers from them
    stored     the .npz that a bundle keeps it in

The file itself tells two things that are lost in the network's input: its size, and its colour
(:mod:`cxr_edge.image.facts`).
"""

from cxr_edge.domain.detector import Discriminator, Domain, facts_for
from cxr_edge.domain.features import MIN_CONTRAST, SIDE, detail, standardize
from cxr_edge.domain.stored import dump_domain, parse_domain

__all__ = [
    "MIN_CONTRAST",
    "SIDE",
    "Discriminator",
    "Domain",
    "detail",
    "dump_domain",
    "facts_for",
    "parse_domain",
    "standardize",
]
