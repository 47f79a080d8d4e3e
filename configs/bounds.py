"""Range checks of config values, called when a config is created."""

from collections.abc import Sequence

from configs.errors import InputError


def require_at_least(minimum: float, **values: float) -> None:
    """Reject values below `minimum`, and NaN.

    Args:
        minimum: the smallest valid value.
        values: value by key; pass dotted keys as `**{"corpus.maximum_documents": 3}`.

    Raises:
        InputError: names the key, the value and the bound.

    >>> require_at_least(1, batch_size=4)
    """
    for key, value in values.items():
        if not value >= minimum:
            raise InputError(f"{key}: {value} is too small; give at least {minimum}")


def require_between(minimum: float, maximum: float, **values: float) -> None:
    """Reject values outside [minimum, maximum], and NaN.

    Raises:
        InputError: names the key, the value and the bounds.

    >>> require_between(0, 1, warmup=0.1)
    """
    for key, value in values.items():
        if not minimum <= value <= maximum:
            raise InputError(f"{key}: {value} is outside [{minimum:g}, {maximum:g}]")


def require_different(**values: Sequence[object]) -> None:
    """Reject lists that hold a value twice.

    Raises:
        InputError: names the key and the list.

    >>> require_different(seeds=[0, 1])
    """
    for key, members in values.items():
        if len(set(members)) < len(members):
            raise InputError(f"{key}: {list(members)} holds one twice")
