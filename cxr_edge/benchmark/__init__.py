"""``cxr-edge benchmark``: what every exported file costs on a machine, and what it is worth.

::

    runner.py       one benchmark from start to end
    report.py       the document, report.json: every figure with its unit
    candidates.py   the rows: a bundle's files on engines, and their baselines
    lines.py        the rows in the making, pass by pass
    starts.py, end_to_end.py, layers.py   three of the passes
    images.py       what is run on                  answers.py  what the rows answer to it
    limits.py       what the machine can do at best conditions.py  its state before and after
    suite.py        what `make bench` measured
    compare.py      two reports, row by row

Nothing here draws: ``cxr_edge.report.benchmark`` makes Markdown and a page of the document.
"""
