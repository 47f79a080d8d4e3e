"""A stage whose models are sharded with FSDP2 over gloo: `-m tests.helpers.fsdp_stage STAGE --config FILE`.

accelerate offers FSDP on accelerators alone, and what it does there works on CPUs, too. The settings are those of
`configs/accelerate/fsdp.yaml`.
"""

import importlib
import sys
from typing import Any

import yaml
from accelerate import Accelerator
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from tests.helpers.paths import ROOT


def plugin() -> FullyShardedDataParallelPlugin:
    """The plugin that `accelerate launch` makes of the shipped file; loading is the launcher's default."""
    file = ROOT / "configs" / "accelerate" / "fsdp.yaml"
    keys = yaml.safe_load(file.read_text(encoding="utf-8"))["fsdp_config"]
    names = {name.removeprefix("fsdp_"): value for name, value in keys.items()}
    names["fsdp_version"] = names.pop("version")
    return FullyShardedDataParallelPlugin(**names, cpu_ram_efficient_loading=True)


class ShardingAccelerator(Accelerator):
    """An accelerator of gloo processes that shards."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.state.fsdp_plugin, self.state.distributed_type = plugin(), DistributedType.FSDP


if __name__ == "__main__":
    from pretrain.training import setup

    setattr(setup, Accelerator.__name__, ShardingAccelerator)
    stage = sys.argv.pop(1)
    importlib.import_module(f"{stage}.__main__").main()
