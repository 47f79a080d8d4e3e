"""What could spoil a run: bad numbers, signals, and processes that die or hang.

In: each training step. Out: a step that is skipped, or a run that ends in one line with a checkpoint behind it.

- `nonfinite.py`: NaN and infinity, loss spikes, lack of memory
- `signals.py`: SIGINT and SIGTERM
- `watchdog.py`: processes that watch each other
"""
