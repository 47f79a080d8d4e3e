"""Which tokens a masked language model has to predict (google-research/bert, create_masked_lm_predictions).

Shapes: B sequences, T positions, M masked positions of the whole batch.
"""

from typing import NamedTuple

import numpy as np

from pretrain.config import MaskingConfig
from pretrain.randomness import uniform


class Masked(NamedTuple):
    """A batch with hidden tokens."""

    input_ids_BT: np.ndarray
    positions_M: np.ndarray
    """Indices into the flattened [B * T]."""
    labels_M: np.ndarray
    """The hidden ids."""


def target_counts(lengths_B: np.ndarray, config: MaskingConfig) -> np.ndarray:
    """How many tokens of each sequence are predicted: an exact share of its length, special tokens counted in.

    >>> target_counts(np.array([4, 20, 128]), MaskingConfig(rate=0.15))
    array([ 1,  3, 19])
    """
    counts_B = np.maximum(1, np.rint(config.rate * lengths_B).astype(np.int64))
    return counts_B if config.maximum_predictions is None else np.minimum(counts_B, config.maximum_predictions)


def mask(
    input_ids_BT: np.ndarray,
    candidates_BT: np.ndarray,
    lengths_B: np.ndarray,
    samples_B: np.ndarray,
    config: MaskingConfig,
    mask_id: int,
    vocabulary_size: int,
    seed: int,
    epoch: int | str,
) -> Masked:
    """Hide an exact number of tokens a sequence; 80 % become [MASK], 10 % a random entry, 10 % stay.

    Args:
        input_ids_BT: token ids, padded.
        candidates_BT: where a token may be hidden: neither padding nor special.
        lengths_B: tokens of each sequence, special ones included.
        samples_B: the sequences' numbers within the epoch; each row's draws depend on its own alone.
        config: rate and shares.
        mask_id: the id of [MASK].
        vocabulary_size: a random entry is uniform over all of it, as in the original.
        seed, epoch: what the draws are a function of.
    """
    length = input_ids_BT.shape[1]
    order_BT = np.where(candidates_BT, uniform(samples_B, length, "mask", seed, epoch), 2.0)
    rank_BT = order_BT.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    counts_B = np.minimum(target_counts(lengths_B, config), candidates_BT.sum(axis=1))
    chosen_BT = rank_BT < counts_B[:, None]

    how_BT = uniform(samples_B, length, "replace", seed, epoch)
    random_BT = (uniform(samples_B, length, "token", seed, epoch) * vocabulary_size).astype(np.int64)
    masked_BT = np.where(chosen_BT & (how_BT < config.mask_share), mask_id, input_ids_BT)
    is_random_BT = chosen_BT & (how_BT >= config.mask_share) & (how_BT < config.mask_share + config.random_share)
    masked_BT = np.where(is_random_BT, random_BT, masked_BT)
    positions_M = np.flatnonzero(chosen_BT)
    return Masked(masked_BT, positions_M, input_ids_BT.reshape(-1)[positions_M])
