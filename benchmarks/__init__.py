"""Measurements, ours against the alternative in one run; each prints JSON lines.

A line is `{"name", "ours", "peer", "ratio", "unit"}`: a ratio above 1 means that ours is the larger number.

- `measuring.py`: clocks, peak memory, and the lines
- `prepare.py`: text → token store → pair plan
- `pretrain.py`, `finetune.py`: training, against `Trainer` and a plain loop; `peers.py`: these
- `objectives.py`: which objective pays, at equal seconds
"""
