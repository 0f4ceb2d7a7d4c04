"""A benchmark's report.json as Markdown, which needs no extra, and as a page, which does.

::

    columns.py          the columns of every table, and how numbers are written
    summary.py          sentences and facts of both forms
    markdown.py         report.md and README's table
    page.py             report.html
    speed_charts.py     latency, start-up, steps, operations
    trade_off_chart.py  speed against accuracy
    score_charts.py     score differences
    truth_charts.py     ROC and reliability
"""
