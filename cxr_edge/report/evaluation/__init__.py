"""The pages of ``evaluation.json`` and ``seeds.json``, and the same charts as PNG files.

::

    page.py            the page of an evaluation: its sections, tables and words
    text.py            an evaluation as aligned text, for a terminal; needs no extra
    summary.py         the sentences and definitions of that page
    curve_charts.py    ROC, precision-recall        reliability_chart.py
    count_charts.py    confusion matrix, score histograms
    change_charts.py   shifted images, copies at another resolution
    gallery.py         pictures beside the JSON, inlined
    seeds.py           the page of several runs
"""
