"""Numbers → figures as SVG, each for a phone and for a wide page.

- `svg.py`: shapes and points that tell their values; `figure.css`: their colours, in light and dark
- `plot.py`: axes, names of lines, rows of dots
- `score.py`: the compared score against labels
- `cost.py`: quality against cost
- `quality.py`: slices, and confidence against accuracy
- `pretraining.py`: the curves of pretraining
"""
