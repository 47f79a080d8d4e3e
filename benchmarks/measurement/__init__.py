"""What every benchmark is made of.

- `measuring.py`: a side in a process of its own, medians, lines of output
- `peers.py`: the alternatives' training scripts
"""
