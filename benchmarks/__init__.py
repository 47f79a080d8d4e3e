"""Benchmarks of Bertlet against an alternative (the peer) in the same run; each prints JSON lines.

A line is `{"name", "ours", "peer", "ratio", "unit"}`; ratio is ours / peer.

- `measurement/`: timing, peak memory, subprocesses, printing; the peers: `Trainer` and a plain loop
- `prepare.py`: text → token store → pair plan
- `pretrain.py`, `finetune.py`: training, against `Trainer` and a plain loop
- `inference.py`: classification, against `Trainer.predict` and a plain loop
- `scaling.py`: throughput by threads, processes, sequence length and corpus size, and without each fast path
- `predict.py`: labelling texts with a finished run, against transformers' pipeline
- `serving.py`: an HTTP service under load, against labelling without one
- `runtimes.py`: classifying with torch, ours and ONNX, one text at a time and eight
- `layers.py`: ModernBERT's layers and the masked-LM loss on a CPU, against transformers and torch
- `saving.py`: the cost of checkpoints, compared with training steps and with a start from a checkpoint
- `__main__.py`: runs all of the above and writes the tables of docs/performance.md
- `objectives.py`: pretraining objectives at equal training time
- `same_results.py`: checks that two revisions give bit-identical results
"""
