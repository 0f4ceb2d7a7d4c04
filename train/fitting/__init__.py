"""Fitting a network: data in memory, augmentation, epochs, checkpoints, calibration."""
