"""The layers of an encoder, whatever its architecture calls them."""

import re
from collections import defaultdict
from collections.abc import Mapping

import torch

from pretrain.models.architectures import encoders_of

# Name of a list of modules, and the numbers of a module in it; Funnel's layers have two, block and layer.
NUMBERED = re.compile(r"(?P<list>((?!\d+\.)[^.]+\.)*)(?P<numbers>\d+(\.\d+)*)")
NAMED_LAYERS = re.compile(r"(.*\.)?layers?\.")


def layer_numbers(model: torch.nn.Module) -> dict[str, int]:
    """The number of each layer, from the input on, by the name of its module.

    Layers are lists of as many modules as the encoder's configuration has layers: XLM's attentions and its feed-forward
    networks are such lists. Of a module that is not an encoder of `transformers`, they are what is named `layer` or
    `layers`. Empty if the layers share their weights, as ALBERT's do.
    """
    lists: dict[str, dict[tuple[int, ...], str]] = defaultdict(dict)
    for name, _ in model.named_modules():
        if match := NUMBERED.fullmatch(name):
            lists[match["list"]][tuple(map(int, match["numbers"].split(".")))] = name
    counts = [getattr(encoder.config, "num_hidden_layers", 0) for encoder in encoders_of(model)[:1]]
    chosen = [modules for modules in lists.values() if len(leaves := _leaves(modules)) and [len(leaves)] == counts]
    named = [modules for name, modules in lists.items() if NAMED_LAYERS.fullmatch(name)]
    if counts == [1] or not counts:
        # Every list of one module would do.
        chosen = named
    return {name: number for modules in chosen for number, (_, name) in enumerate(sorted(_leaves(modules).items()))}


def _leaves(modules: Mapping[tuple[int, ...], str]) -> dict[tuple[int, ...], str]:
    """Those that hold no others of the list."""
    parents = {numbers[:-1] for numbers in modules}
    return {numbers: name for numbers, name in modules.items() if numbers not in parents}


def layer_of(name: str, numbers: Mapping[str, int]) -> int | None:
    """The number of the layer that a parameter or module belongs to.

    >>> layer_of("bert.layer.1.output.weight", {"bert.layer.0": 0, "bert.layer.1": 1})
    1
    """
    parts = name.split(".")
    owners = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return next((numbers[owner] for owner in owners if owner in numbers), None)
