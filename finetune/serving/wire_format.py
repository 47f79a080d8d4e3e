"""The wire format of Hugging Face's Inference API for text classification.

In: `{"inputs": …, "parameters": {"top_k": …, "function_to_apply": …}, "options": {…}}`. Out: for each text the list of
its labels with their scores, best first. `huggingface_hub.InferenceClient.text_classification` sends one text and reads
that; lists of texts and pairs are those of transformers' pipeline.

Shapes: N texts, C classes.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from configs.key_check import suggestion

FUNCTIONS = ("softmax", "sigmoid", "none")
KEYS = ("inputs", "parameters", "options")
PARAMETERS = ("top_k", "function_to_apply")
# Characters of a client's own words that an error quotes.
QUOTED = 40
# For `/openapi.json`.
TEXT_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"text": {"type": "string"}, "text_pair": {"type": ["string", "null"]}},
            "required": ["text"],
            "additionalProperties": False,
        },
    ]
}
REQUEST_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "additionalProperties": False,
    "properties": {
        "inputs": {"anyOf": [*TEXT_SCHEMA["anyOf"], {"type": "array", "minItems": 1, "items": TEXT_SCHEMA}]},
        "parameters": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "properties": {
                "top_k": {"type": ["integer", "null"], "minimum": 1},
                "function_to_apply": {"enum": [*FUNCTIONS, None]},
            },
        },
        "options": {"type": ["object", "null"]},
    },
    "example": {"inputs": "I like you", "parameters": {"top_k": 1}},
}

Pair = tuple[str, str | None]


class RequestError(ValueError):
    """A request that cannot be answered."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after
        """The HTTP status; seconds after which the client may try again."""


class Query(NamedTuple):
    """What a request asks for."""

    texts: list[Pair]
    top_k: int | None
    """The number of labels of each text; None: all."""
    function: str | None
    """Logits → scores: one of `FUNCTIONS`; None: the model's own probabilities."""


def parse(body: bytes, maximum_texts: int, maximum_characters: int, prepare: Callable[[str], str]) -> Query:
    """The texts of a body, and what is wanted of them.

    Args:
        body: JSON in UTF-8, UTF-16 or UTF-32.
        maximum_texts: the most texts.
        maximum_characters: the longest text.
        prepare: what is done to each text; it raises a ValueError that says why a text cannot be used.

    Raises:
        RequestError: it is no JSON, or not this format; names the key.

    >>> parse(b'{"inputs": ["a", {"text": "b", "text_pair": "c"}], "parameters": {"top_k": 1}}', 9, 9, str)
    Query(texts=[('a', None), ('b', 'c')], top_k=1, function=None)
    """
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise RequestError(400, "the body is no JSON that can be read: too deeply nested") from None
    except ValueError as error:
        told = error.msg if isinstance(error, json.JSONDecodeError) else "wrong encoding, or a number out of range"
        position = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise RequestError(400, f"the body is no JSON that can be read: {told}{position}") from None
    _check_keys("the body", content, KEYS)
    if "inputs" not in content:
        raise RequestError(422, '`inputs` is missing: {"inputs": "a text"}')
    inputs = content["inputs"]
    several = inputs if isinstance(inputs, list) else [inputs]
    if not several:
        raise RequestError(422, "`inputs` is an empty list")
    if len(several) > maximum_texts:
        raise RequestError(422, f"`inputs` holds {len(several)} texts; at most {maximum_texts} in a request")
    names = [f"inputs[{number}]" if isinstance(inputs, list) else "inputs" for number in range(len(several))]
    texts = [_pair(name, one, maximum_characters, prepare) for name, one in zip(names, several, strict=True)]
    options = content.get("options")
    if not isinstance(options, dict | None):
        raise RequestError(422, f"`options` is {_kind(options)}, not an object")
    return Query(texts, *_parameters(content.get("parameters")))


def _pair(name: str, value: Any, longest: int, prepare: Callable[[str], str]) -> Pair:
    if isinstance(value, str):
        return _text(name, value, longest, prepare), None
    if not isinstance(value, dict):
        raise RequestError(422, f"`{name}` is {_kind(value)}, not a text")
    _check_keys(f"`{name}`", value, ("text", "text_pair"))
    if "text" not in value:
        raise RequestError(422, f"`{name}` has no `text`")
    second = value.get("text_pair")
    first = _text(f"{name}.text", value["text"], longest, prepare)
    return first, None if second is None else _text(f"{name}.text_pair", second, longest, prepare)


def _text(name: str, value: Any, longest: int, prepare: Callable[[str], str]) -> str:
    if not isinstance(value, str):
        raise RequestError(422, f"`{name}` is {_kind(value)}, not a text")
    if len(value) > longest:
        raise RequestError(422, f"`{name}` has {len(value)} characters; at most {longest}")
    try:
        text = prepare(value)
    except ValueError as error:
        raise RequestError(422, f"`{name}`: {error}") from None
    if not text.strip():
        raise RequestError(422, f"`{name}` holds no text")
    return text


def _parameters(given: Any) -> tuple[int | None, str | None]:
    given = {} if given is None else given
    _check_keys("`parameters`", given, PARAMETERS)
    top_k, function = given.get("top_k"), given.get("function_to_apply")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise RequestError(422, "`parameters.top_k` must be a whole number from 1, or null for all labels")
    if function is not None and function not in FUNCTIONS:
        raise RequestError(422, f"`parameters.function_to_apply` must be one of {', '.join(FUNCTIONS)}")
    return top_k, function


def _check_keys(name: str, value: Any, known: Sequence[str]) -> None:
    if not isinstance(value, dict):
        raise RequestError(422, f"{name} is {_kind(value)}, not an object")
    for key in value:
        if key not in known:
            raise RequestError(422, f"{name} has no key {key[:QUOTED]!r}{suggestion(key[:QUOTED], list(known))}")


def _kind(value: Any) -> str:
    """A JSON value's type, in JSON's words.

    >>> [_kind(one) for one in (None, True, 1, 1.5, "a", [], {})]
    ['null', 'a boolean', 'a number', 'a number', 'a text', 'a list', 'an object']
    """
    if value is None:
        return "null"
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return kinds[type(value)]


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def answer(scores_NC: np.ndarray, labels: Sequence[str], top_k: int | None) -> bytes:
    """The body of an answer: the labels of each text, best first; those with equal scores in the model's order.

    >>> answer(np.array([[0.25, 0.75]]), ["bad", "good"], None)
    b'[[{"label":"good","score":0.75},{"label":"bad","score":0.25}]]'
    """
    order_NC = np.argsort(-scores_NC, axis=1, kind="stable")[:, :top_k]
    rows = zip(order_NC.tolist(), scores_NC.tolist(), strict=True)
    content = [[{"label": labels[best], "score": row[best]} for best in order] for order, row in rows]
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def error_body(message: str) -> bytes:
    """The body of a refusal.

    >>> error_body("no")
    b'{"error": "no"}'
    """
    return json.dumps({"error": message}).encode()
