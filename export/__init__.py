"""Export: from a Keras model to a bundle of models that make the same decisions.

Modules here need the extra ``export`` and import only the shared core.
"""
