"""A miniature world of toy rooms, rendered from layers: what the bundled model is trained on and what edits are measured by.

``scene`` says what is in a room, ``render`` draws it, ``emoji`` has the objects. Training and the benchmark both import it.
"""
