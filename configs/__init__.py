"""Configs and run folders, used by all other packages.

In: a YAML file and dotted command-line overrides. Out: a validated dataclass, and the run folder that
belongs to it. Read in this order:

- `errors.py`: the exceptions that end a command with one line on stderr
- `fields.py`, `bounds.py`: metadata and range checks of config fields
- `command_line.py`: YAML + overrides → dataclass; unknown keys are rejected with the nearest name
- `key_check.py`: misspelt and renamed keys
- `launch.py`: process start: allocator, threads, number of processes
- `run_folder.py`: run folders, digests, and whether a run is finished
- `file_digest.py`: all content of a file, as digests see it
- `hub_commit.py`: the commit that a Hub id stands for
- `model_reference.py`: a YAML file, a folder or a Hub id → the folder of a trained model or tokenizer
- `processes.py`: a pool of worker processes; `forkserver_signals.py`: what the process that forks them ignores
- `machine_meter.py`: the memory and energy of a piece of work
- `terminal.py`: progress lines and bars
- `tokenizer/ pretrain/ finetune/ compare/`: one YAML file per run; `accelerate/`: launcher configs

Nothing heavy is imported here, so `--help` and the check for a finished stage stay fast.
"""
