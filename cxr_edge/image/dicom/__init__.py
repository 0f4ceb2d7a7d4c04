"""DICOM: a radiograph's bytes to pixels, as a viewer shows them.

::

    recognition   what begins like DICOM
    reader        one file to (H, W) uint8
    elements      the elements that a picture needs, read under one budget
    selection     which radiographs are read: every rule, and the reasons
    attributes    numbers and words of those elements
    frame         the stored pixels, uncompressed or decoded by a codec
    rle           run-length encoding
    cells         which bits of a stored pixel are its value
    greyscale     stored values to 0..255: the order of the steps
    padding tables window   the steps
    aspect        pixels that are not square
    orientation   the patient's orientation, as the file states it
    directory     the files that a DICOMDIR names
    identity      the UID of a file
    quiet         nothing of pydicom's warnings is heard
"""
