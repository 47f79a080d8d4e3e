"""Measurements, ours against the alternative in one run; each prints JSON lines.

A line is `{"name", "ours", "peer", "ratio", "unit"}`: a ratio above 1 means that ours is the larger number.

- `measuring.py`: clocks, peak memory, and the lines
- `prepare.py`: text → token store → pair plan
- `pretrain.py`, `finetune.py`: training, against `Trainer` and a plain loop; `peers.py`: these
- `inference.py`: classification, against `Trainer.predict` and a plain loop
- `scaling.py`: throughput against threads, processes, lengths and corpus size, and without each fast path
- `saving.py`: what checkpoints cost, beside the steps between two of them and beside a start
- `__main__.py`: all of these but the next two, and the tables of docs/performance.md
- `objectives.py`: which objective pays, at equal seconds
- `same_results.py`: whether two revisions give the same numbers to the last bit
"""
