"""What users draw and write, as text: the canvas's drawing, points, poses. Checked when read."""
