"""Training and evaluation: from a folder of images to a run folder.

::

    stage         train_model: checks, then the pipeline
    pipeline      everything that ``cxr-edge train`` does
    recipe        training recipes: every setting, named and versioned
    request       what can be wrong with a call, found before anything slow
    fitting/      network, data, augmentation, epochs, checkpoints, calibration
    evaluation/   figures with intervals, robustness, baseline, pages

Modules here need the extra ``train`` (or ``evaluate``); of the package's other code they import
only ``cxr_edge``, never ``cxr_edge.export``.
"""
