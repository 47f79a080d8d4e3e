"""Runs as files: what every other room reads before it starts.

In: a YAML file and dotted command-line overrides. Out: a checked dataclass, and the run folder that
belongs to it. Read in this order:

- `errors.py`: the exceptions that end a command in one line
- `fields.py`, `bounds.py`: what a config field says beside its default, and which values are valid
- `command_line.py`: YAML + overrides → dataclass; misspelt keys are refused with the nearest name
- `launch.py`: how a process starts: allocator, threads, number of processes
- `run_folder.py`: where a run writes, its digest, and when it counts as finished
- `model_reference.py`: a YAML file, a folder or a Hub id → the folder of a trained model or tokenizer
- `processes.py`: work for several processes of this machine
- `terminal.py`: progress lines and bars
- `tokenizer/ pretrain/ finetune/ compare/`: the runs that ship, a YAML file each; `accelerate/`: launcher settings

This room imports nothing heavy: a command's `--help` and the check for a finished stage stay cheap.
"""
