"""From a Keras network to the bytes of a file.

::

    onnx        tf2onnx, then canonical bytes    tflite    TensorFlow Lite's converters
    ncnn        its two files, in one            ncnn_calls, ncnn_archive  its layers, its members
    frozen      a model as one TensorFlow graph  rewrite   operations that a converter lacks
    culprit     the layer that a converter refuses
    metadata    the spec inside the file
"""
