"""Runs as files: what every other room reads before it starts.

In: a YAML file and dotted command-line overrides. Out: a checked dataclass, and the run folder that
belongs to it. Read in this order:

- `errors.py`: the one exception that a person can mend, and how a command ends on it
- `command_line.py`: YAML + overrides → dataclass; misspelt keys are refused with the nearest name
- `launch.py`: how a process starts: allocator, threads, number of processes
- `run_folder.py`: where a run writes, how its digest is made, when it counts as finished
- `processes.py`: work for several processes of this machine
- `terminal.py`: what a person sees while a command runs
- `tokenizer/ pretrain/ finetune/ compare/`: the runs that ship, a YAML file each

This room imports nothing heavy: a command's `--help` and the look at a finished stage stay cheap.
"""
