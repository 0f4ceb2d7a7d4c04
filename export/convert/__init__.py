"""From a network to the bytes of a file.

::

    onnx          tf2onnx, then canonical bytes  tflite        TFLite converters
    metadata      the spec inside the file
"""
