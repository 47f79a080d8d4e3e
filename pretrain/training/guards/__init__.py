"""Protection against NaN, signals, and processes that die, hang or disagree.

In: each training step. Out: a skipped step, or a run that ends with one line of explanation and a checkpoint.

- `nonfinite.py`: NaN and infinity, loss spikes, running out of memory
- `collective.py`: what one process decides for all
- `outcomes.py`: a step that counts, or was skipped
- `signals.py`: SIGINT and SIGTERM
- `watchdog.py`: training processes that monitor each other
"""
