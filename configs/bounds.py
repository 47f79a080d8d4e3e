"""Bounds of config values, checked when a config is made."""

from configs.errors import InputError


def require_at_least(minimum: float, **values: float) -> None:
    """Refuse a value below `minimum`.

    Args:
        minimum: the smallest valid value.
        values: by key; dotted keys are given as `**{"corpus.maximum_documents": 3}`.

    Raises:
        InputError: names the key, the value and the bound.

    >>> require_at_least(1, batch_size=4)
    """
    for key, value in values.items():
        if not value >= minimum:
            raise InputError(f"{key}: {value} is too small; give at least {minimum}")


def require_between(minimum: float, maximum: float, **values: float) -> None:
    """Refuse a value outside [minimum, maximum], NaN included.

    Raises:
        InputError: names the key, the value and the bounds.

    >>> require_between(0, 1, warmup=0.1)
    """
    for key, value in values.items():
        if not minimum <= value <= maximum:
            raise InputError(f"{key}: {value} is outside [{minimum:g}, {maximum:g}]")
