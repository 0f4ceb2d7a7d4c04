"""The Keras model that everything is compared with, and the run folder that it comes in.

::

    run_folder      what a training leaves behind and an export reads
    keras_model     loading an original, checking it against its spec, its scores
    opening         a stranger's model becomes an original, by these steps:
      files           what kind of file is it
      saved           loading it without running its code
      contract        is it one image in, one row of scores out
      heads           are its outputs probabilities or logits
      rebuild         float32, fixed size; layout: channels last; graph: how models call layers
      archive         the same bytes in every process
    network_facts   what a network shows of its input, output and scaling
    infer           its spec, as far as it shows
    specify         infer_spec: the same for a saved model
"""
