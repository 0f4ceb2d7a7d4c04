"""The Keras model that everything is compared with, and the run folder that it comes in.

::

    keras_model   loading it, checking it against its spec, its scores
    run_folder    what a training leaves behind and an export reads
"""
