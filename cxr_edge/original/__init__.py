"""The Keras model that everything is compared with, and the run folder that it comes in.

::

    keras_model    loading it, checking it against its spec, its scores
    network_facts  what it shows of its input, output and scaling
    infer          its spec, as far as it shows
    run_folder     what a training leaves behind and an export reads
"""
