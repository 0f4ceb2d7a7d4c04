"""A bundle: a folder with one model in several exported forms, and the data that proves them.

::

    manifest      manifest.json: what the bundle holds, with the hash of every file
    reader        opening a bundle; choosing, hashing and loading its artifacts
    golden        inputs with the original model's scores
    embedded      the spec inside each .onnx and .tflite file
    parity        how far two models' scores are apart
    verify        hashes and golden parity, on this device
    contents      every file that makes a bundle
    installed     the bundles of a device: which is current, which was before
    inventory     the list of them
    upgrade       installing a bundle, and going back
    change        the moments in which the current one changes
    served        what a running service says of them
    model_card    MODEL_CARD.md, from the manifest
"""
