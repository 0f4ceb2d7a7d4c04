"""DICOM: a radiograph's bytes to pixels, as a viewer shows them.

::

    reader     one file to (H, W) uint8
    elements   the elements that a picture needs, read under one budget
    selection  which radiographs are read: every rule, and the reasons
    frame      the stored pixels, uncompressed or decoded by a codec
    orientation   the patient's orientation, as the file states it
    directory  the files that a DICOMDIR names
    identity   the UID of a file
    quiet      nothing of pydicom's warnings is heard
"""
