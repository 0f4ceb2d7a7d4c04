"""Several benchmarks of one bundle side by side: ``cxr-edge report A.json B.json``.

::

    merge.py        which rows and runs belong together, and what differs between the runs
    summary.py      sentences and facts of every form
    tables.py       the tables of every form
    markdown.py     the Markdown, which needs no extra
    charts.py, page.py   the page, which does
"""
