"""``cxr-edge benchmark``: measures every artifact of a bundle on every engine of this machine.

Measuring only: the result is ``report.json``; tables and pages are drawn from it elsewhere.

::

    stage.py        benchmark_bundle: checks, measures, writes
    tuning.py       tune_bundle: the fastest way to run a bundle on this machine
    runner.py       one benchmark from start to end
    cases.py        a row while it is measured; the rows of a bundle
    baselines.py    the rows of the original Keras model and its stock conversions
    passes.py       the passes over the rows, each adds one kind of figure, using
                    first_answer.py, end_to_end.py and layers.py
    images.py       the inputs, and the image files
    roofline.py     the best the machine can do       machine_state.py  load, clock, heat
    report.py       the document, report.json         upgrade.py        its older versions
    suite.py        results of `make bench`           compare.py        two reports, row by row
"""
