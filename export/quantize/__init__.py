"""From float32 to integers, under a budget.

::

    recipe        every choice                   search        recipes tried under a budget
    calibration   ranges of activations          quantizer     one way for each format
    equalize      channels of like size          bias          bias correction
    onnx_int8     the ONNX quantizer             distill       calibration images without data
    budget        what a changed score may cost
"""
