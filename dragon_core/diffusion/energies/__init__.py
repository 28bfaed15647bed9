"""The energies, one file each: functions of generation features, reference features and masks on one grid, to be minimised.

Features are on the common grid (see :mod:`dragon_core.diffusion.features`), masks (M, h, w) in [0, 1]; every energy is (B,).
"""
