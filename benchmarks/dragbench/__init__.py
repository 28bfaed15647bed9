"""DragBench (Shi et al. 2023, DragDiffusion): 205 pictures, 349 pairs of points, judged by features of another model.

For people with a real checkpoint; the pictures are theirs to fetch. ``python3 -m dev run -- -m benchmarks.dragbench --help``.
"""
