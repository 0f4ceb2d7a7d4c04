"""Draws pictures that are not of the training images' kind from these images: outlier exposure.

A detector that saw outliers while it was fitted also finds others (Hendrycks et al. 2019,
arXiv:1812.04606). What a classifier of radiographs is given by mistake is often made of a
radiograph: a photo of a film, a crop, a page, a negative.

::

    kinds      the types
    geometry   crops, turned and squeezed images
    levels     negatives, false and few grey levels, blurs, enlarged icons, noise
    places     photos of films, pages, covered images, collages
    scenes     pictures without an image of the domain
    grounds    what lies around an image
    variation  changes of exposure and sharpness, and small ones of place
    draw       draws them by weight, reproducibly
"""
