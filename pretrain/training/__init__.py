"""Training: one engine for pretraining and fine-tuning.

In: a model, a training source, a loss, and a config. Out: trained weights, `metrics.jsonl`, and checkpoints from which
a run resumes exactly. Read in this order:

- `config.py`: every key of training, the optimizer and the fast paths
- `engine.py`: the training loop; `train_state.py`: the progress of a run
- `setup.py`: devices, precision, fast paths and trackers of a training process
- `optimizer.py`: optimizers and parameter groups; `schedule.py`: the learning-rate schedule, durations;
  `averaging.py`: averaged weights
- `evaluation.py`: held-out metrics and baselines
- `checkpoints.py`: the checkpoint store and its manifest; `sharded.py`: weights sharded over several devices
- `metric_logger.py`: `metrics.jsonl`, trackers, the progress bar
- `fast_paths.py`: optimizations for the hardware; `products.py`: the library for fp32 matrix products on a CPU;
  `throughput.py`: tokens/s, FLOPs and MFU
- `guards/`: protection against NaN, signals, and lost processes
"""
