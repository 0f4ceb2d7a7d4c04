"""From a Keras network to the bytes of a file.

::

    onnx        tf2onnx, then canonical bytes    tflite    TensorFlow Lite's converters
    metadata    the spec inside the file
"""
