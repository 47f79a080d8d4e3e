"""What a comparison runs, in processes of their own.

- `subprocesses.py`: a stage, as a command
- `devices.py`: on which devices runs go; `cells.py`: the runs of a grid, in parallel
- `unfinished.py`: which runs are still to be done; `estimate.py`: how long they will take, by short runs
"""
