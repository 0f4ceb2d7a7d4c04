"""Pages and pictures from the JSON of a benchmark or an evaluation. Pages need the extra `report`.

::

    theme.py     colours, light and dark; the look of every chart
    charts.py    an Altair chart → the specification for a page, or a PNG
    tables.py    sortable tables
    page.py      Jinja2 templates → one self-contained HTML file
    templates/   base.html.j2, parts.html.j2, style.css, script.js, one template a page
"""
