"""What the square charts share: their size, unit axes and diagonal."""

from __future__ import annotations

import altair as alt

from cxr_edge.report.charts import records
from cxr_edge.report.theme import MUTED

SQUARE_PX = 380
TICKS = [0, 0.2, 0.4, 0.6, 0.8, 1]
UNIT = alt.Scale(domain=[0, 1], nice=False)


def diagonal() -> alt.Chart:
    """A dashed line from (0, 0) to (1, 1)."""
    data = records([{"x": 0, "y": 0}, {"x": 1, "y": 1}])
    line = alt.Chart(data).mark_line(color=MUTED, strokeDash=[4, 3], strokeWidth=1)
    return line.encode(x="x:Q", y="y:Q")
