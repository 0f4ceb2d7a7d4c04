"""From float32 to integers, within a budget.

::

    recipe        every choice of a quantization   search     tries recipes within a budget
    quantizer     builds a file by a recipe        onnx_int8  inserts the integers into ONNX
    ranges        ranges of activations            equalize   brings channels to similar ranges
    bias          bias correction                  distill    calibration images without patients
    budget        how much a model may change      onnx_rewrite  what else ONNX needs
    onnx_offsets  additions become maxima          onnx_integers maxima of integers
"""
