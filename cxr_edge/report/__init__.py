"""Pages and pictures from the JSON of a benchmark or an evaluation. Pages need the extra `report`.

::

    documents     which page belongs to a document    page        Jinja2 templates → one HTML file
    theme         colours, the look of every chart    charts      an Altair chart → page or PNG
    axes          unit axes, the diagonal             row_axis    one line a row, names above
    tables        sortable tables                     text_tables aligned tables of plain text
    training      charts of a training
    benchmark/    of report.json                      evaluation/ of evaluation.json, seeds.json
    templates/    base.html.j2, parts.html.j2, style.css, script.js, one template a page
"""
