"""A bundle: a folder that holds one model in several exported forms, and proves itself.

::

    manifest      manifest.json: what the bundle holds, with the hash of every file
    reader        opening a bundle; choosing, hashing and loading its artifacts
    embedded      the spec inside each .onnx and .tflite file
    parity        how far two models' scores lie apart
    verify        hashes and golden parity, on this device
    model_card    MODEL_CARD.md, from the manifest
"""
