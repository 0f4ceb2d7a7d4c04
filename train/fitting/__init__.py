"""Fitting a network to a data set.

::

    data          training and validation images in memory, split by patient
    contradictions  refuses the same image under two labels
    augment       random changes of a training image
    photometry    the single changes of exposure, sharpness, noise and compression
    batches       augmented batches, reproducible from seed and epoch
    network       the reference CNN
    fit           the training loop, resumable
    callbacks     Keras callbacks: seeding, learning rate, progress, figures
    checkpoint    an unfinished training on disk
    history       history.json: recipe and figures of every epoch
    calibrate     temperature, threshold and uncertainty band, from validation
    domain        fits the out-of-domain detector
    discriminator its small network, by gradient descent
    outliers/     the pictures of other kinds that this learns from
"""
