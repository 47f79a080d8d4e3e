"""The configuration of classifiers on pooled states, stored by `transformers` in `config.json`.

This file is uploaded with the weights, so it imports only the standard library and transformers.
"""

from typing import Any

from transformers import AutoConfig, BertConfig, PreTrainedConfig

POOLINGS = ("cls", "mean", "max", "concat", "attention")


class PooledConfig(PreTrainedConfig):
    """An encoder, and how a classifier makes one vector of its states.

    Args:
        encoder: configuration of the encoder, or its fields as a dictionary with `model_type`.
        pooling: `cls`, the first token's state; the `mean` or `max` over tokens; all three (`concat`); or a learned
            `attention` to the tokens.
        classifier_dropout: on the pooled vector.

    Raises:
        ValueError: an unknown pooling.
    """

    # A type of its own: loaded as its encoder's type, it would get a new classifier on another pooling.
    model_type = "bertlet-pooled"
    sub_configs = {"encoder": AutoConfig}  # noqa: RUF012 (as transformers declares it)

    def __init__(
        self,
        encoder: PreTrainedConfig | dict[str, Any] | None = None,
        pooling: str = "mean",
        classifier_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling: {pooling!r} is not one of {', '.join(POOLINGS)}")
        if isinstance(encoder, dict):
            encoder = AutoConfig.for_model(**encoder)
        self.encoder = BertConfig() if encoder is None else encoder
        self.pooling = pooling
        self.classifier_dropout = classifier_dropout
        kwargs.setdefault("pad_token_id", self.encoder.pad_token_id)
        super().__init__(**kwargs)


PooledConfig.register_for_auto_class()
