"""Golden inputs of a bundle, and how they are drawn.

::

    drawn    pictures, and the choice among them: away from the threshold
    alike    pictures with the statistics of a user's images
    inputs   the golden inputs of one export, moved to where its network works
    near     pairs of inputs on either side of a decision, close to it
"""

from cxr_edge.export.golden.drawn import (
    COUNT,
    POOL,
    ROUNDING,
    choose_golden,
    describe_golden,
    draw_pictures,
)

__all__ = ["COUNT", "POOL", "ROUNDING", "choose_golden", "describe_golden", "draw_pictures"]
