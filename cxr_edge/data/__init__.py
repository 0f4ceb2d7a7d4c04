"""Data sets: folders of labelled images, their patients, and their faults.

::

    folders       DATA/train/LABEL/*.jpeg: splits, labels, files
    patients      which files show the same patient; splits that keep patients whole
    samples       preprocessed images in one .npz file
    check         counts, unreadable files, duplicates, patients in two splits
    phantom       drawn X-rays for tests, golden inputs and demonstrations
"""
