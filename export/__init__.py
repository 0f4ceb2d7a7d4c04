"""Export: from a Keras model to a bundle of files that were shown to answer alike.

Modules here need the extra ``export`` and import only the shared core.
"""
