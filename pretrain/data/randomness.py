"""Random numbers without a state: functions of a seed and of what they are for.

Order, pairs, masks and dropout are drawn from (seed, epoch, sample, step) and never from a generator that has
been running; a run resumed anywhere, with any number of workers, therefore sees the same numbers.
"""

import hashlib
import random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    # Pair plans are made, and corpora prepared, by processes that need no torch.
    import torch


# Constants of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 15).
GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)


def key(*parts: str | int) -> int:
    """A 63-bit number for a purpose, such as `("order", seed, epoch)`.

    >>> key("order", 0, 1) == key("order", 0, 1), key("order", 0, 1) == key("order", 1, 0)
    (True, False)
    """
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def permutation(count: int, *parts: str | int) -> np.ndarray:
    """A random order of `range(count)` for a purpose."""
    return np.random.Generator(np.random.Philox(key(*parts))).permutation(count)


def python_random(*parts: str | int) -> random.Random:
    """Python's generator for a purpose, for loops that draw one number at a time."""
    return random.Random(key(*parts))


def uniform(samples_B: np.ndarray, length: int, *parts: str | int) -> np.ndarray:
    """Uniform numbers in [0, 1), [B, length]: row b depends on `samples_B[b]` and the purpose alone."""
    with np.errstate(over="ignore"):
        row_B1 = _mixed(samples_B.astype(np.uint64)[:, None] * GAMMA + np.uint64(key(*parts)))
        bits_BT = _mixed(row_B1 + GAMMA * np.arange(1, length + 1, dtype=np.uint64)[None])
    return (bits_BT >> np.uint64(11)) * 2.0**-53


def _mixed(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * MIX_1
    state = (state ^ (state >> np.uint64(27))) * MIX_2
    return state ^ (state >> np.uint64(31))


def uniform_on_device(samples_B: "torch.Tensor", length: int, *parts: str | int) -> "torch.Tensor":
    """`uniform`, the very same numbers, where the samples' tensor lies; float64 [B, length].

    >>> import torch
    >>> samples, purpose = np.array([3, 12345]), ("mask", 0)
    >>> np.array_equal(uniform_on_device(torch.from_numpy(samples), 5, *purpose), uniform(samples, 5, *purpose))
    True
    """
    import torch

    gamma = _signed(int(GAMMA))
    row_B1 = _mixed_on_device(samples_B.long()[:, None] * gamma + key(*parts))
    steps_T = torch.arange(1, length + 1, device=samples_B.device)
    bits_BT = _mixed_on_device(row_B1 + gamma * steps_T[None])
    return _shifted(bits_BT, 11).double() * 2.0**-53


def _mixed_on_device(state: "torch.Tensor") -> "torch.Tensor":
    state = (state ^ _shifted(state, 30)) * _signed(int(MIX_1))
    state = (state ^ _shifted(state, 27)) * _signed(int(MIX_2))
    return state ^ _shifted(state, 31)


def _shifted(state: "torch.Tensor", places: int) -> "torch.Tensor":
    """To the right, filled up with zeros: torch's own shift keeps the sign."""
    return (state >> places) & ((1 << (64 - places)) - 1)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
