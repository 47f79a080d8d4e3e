"""Stateless random numbers: functions of a seed and a purpose.

Order, pairs, masks and dropout are drawn from (seed, epoch, sample, step) and never from a running generator, so that a
run resumed at any step, with any number of workers, sees the same numbers.
"""

import hashlib
import random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    # Worker processes that plan pairs or prepare corpora do not need torch.
    import torch


# Constants of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 15).
GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)


def key(*purpose: str | int) -> int:
    """A 63-bit number for a purpose, such as `("order", seed, epoch)`.

    >>> key("order", 0, 1) == key("order", 0, 1), key("order", 0, 1) == key("order", 1, 0)
    (True, False)
    """
    digest = hashlib.sha256("\0".join(map(str, purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def permutation(count: int, *purpose: str | int) -> np.ndarray:
    """A random order of `range(count)` for a purpose."""
    return np.random.Generator(np.random.Philox(key(*purpose))).permutation(count)


def python_random(*purpose: str | int) -> random.Random:
    """Python's generator for a purpose, for loops that draw one number at a time."""
    return random.Random(key(*purpose))


def uniform(samples_B: np.ndarray, length: int, *purpose: str | int) -> np.ndarray:
    """Uniform numbers in [0, 1), [B, length]: row b depends only on `samples_B[b]` and the purpose."""
    with np.errstate(over="ignore"):
        row_B1 = _mix(samples_B.astype(np.uint64)[:, None] * GAMMA + np.uint64(key(*purpose)))
        bits_BT = _mix(row_B1 + GAMMA * np.arange(1, length + 1, dtype=np.uint64)[None])
    return (bits_BT >> np.uint64(11)) * 2.0**-53


def _mix(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * MIX_1
    state = (state ^ (state >> np.uint64(27))) * MIX_2
    return state ^ (state >> np.uint64(31))


def uniform_on_device(samples_B: "torch.Tensor", length: int, *purpose: str | int) -> "torch.Tensor":
    """The same numbers as `uniform`, on the device of `samples_B`; float64 [B, length].

    >>> import torch
    >>> samples, purpose = np.array([3, 12345]), ("mask", 0)
    >>> np.array_equal(uniform_on_device(torch.from_numpy(samples), 5, *purpose), uniform(samples, 5, *purpose))
    True
    """
    import torch

    gamma = _to_signed(int(GAMMA))
    row_B1 = _mix_on_device(samples_B.long()[:, None] * gamma + key(*purpose))
    steps_T = torch.arange(1, length + 1, device=samples_B.device)
    bits_BT = _mix_on_device(row_B1 + gamma * steps_T[None])
    return _shift_right(bits_BT, 11).double() * 2.0**-53


def _mix_on_device(state: "torch.Tensor") -> "torch.Tensor":
    state = (state ^ _shift_right(state, 30)) * _to_signed(int(MIX_1))
    state = (state ^ _shift_right(state, 27)) * _to_signed(int(MIX_2))
    return state ^ _shift_right(state, 31)


def _shift_right(state: "torch.Tensor", bits: int) -> "torch.Tensor":
    """Logical right shift; torch's own shift keeps the sign."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _to_signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
