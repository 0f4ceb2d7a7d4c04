"""DICOM: a radiograph's bytes to pixels, as a viewer shows them.

::

    reader     one file to (H, W) uint8
    elements   the elements that a picture needs, read under one budget
    frame      the stored pixels, uncompressed or decoded by a codec
"""
