"""Images in folders: who is in them, and what is wrong with them.

::

    folders       DATA/train/LABEL/*.jpeg: parts, labels, files
    patients      which files are of one patient
    samples       a few preprocessed images in one .npz
    check         counts, unreadable files, duplicates, shared patients
    phantom       drawn X-rays, for tests and demonstrations
"""
