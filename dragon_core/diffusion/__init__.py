"""The method itself: noise levels, inversion, the sampling loop, features, energies and guidance. Knows no edits and no drawing."""
