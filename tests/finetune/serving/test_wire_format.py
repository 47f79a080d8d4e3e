"""Bodies of requests are read or refused, key by key; answers are sorted."""

import json

import numpy as np
import pytest

from finetune.serving.wire_format import REQUEST_SCHEMA, Query, RequestError, answer, parse


def read(body, texts=4, characters=20, prepare=str):
    return parse(body if isinstance(body, bytes) else json.dumps(body).encode(), texts, characters, prepare)


@pytest.mark.parametrize(
    ("inputs", "texts"),
    [
        ("a", [("a", None)]),
        (["a", "b"], [("a", None), ("b", None)]),
        ({"text": "a"}, [("a", None)]),
        ({"text": "a", "text_pair": "b"}, [("a", "b")]),
        ([{"text": "a", "text_pair": None}, "b"], [("a", None), ("b", None)]),
        (["a", {"text": "b", "text_pair": "c"}], [("a", None), ("b", "c")]),
        ("😀 é", [("😀 é", None)]),
    ],
)
def test_every_shape_of_inputs_is_read(inputs, texts):
    assert read({"inputs": inputs}) == Query(texts, None, None)
    assert read({"inputs": inputs, "parameters": None, "options": None}).texts == texts
    assert read(json.dumps({"inputs": inputs}, ensure_ascii=False).encode("utf-16")).texts == texts


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none", None])
def test_parameters_are_read_and_options_left_alone(function):
    body = {"inputs": "a", "parameters": {"top_k": 3, "function_to_apply": function}, "options": {"wait": True}}
    assert read(body) == Query([("a", None)], 3, function)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "the body is no JSON that can be read: Expecting value at character 0"),
        (b"{'inputs': 1}", 400, "no JSON"),
        (b'{"inputs": "a"', 400, "no JSON"),
        (b"\xff\xfe\xff", 400, "wrong encoding"),
        (b'{"inputs": "\xe9"}', 400, "wrong encoding"),
        (b'{"inputs": NaN}', 400, "out of range"),
        (b'{"inputs": ' + b"9" * 5000 + b"}", 400, "out of range"),
        (b"[" * 200_000, 400, "too deeply nested"),
        ([], 422, "the body is a list, not an object"),
        ("a", 422, "the body is a text, not an object"),
        (None, 422, "the body is null, not an object"),
        ({}, 422, "`inputs` is missing"),
        ({"input": "a"}, 422, "the body has no key 'input'; did you mean `inputs`"),
        ({"inputs": []}, 422, "`inputs` is an empty list"),
        ({"inputs": None}, 422, "`inputs` is null, not a text"),
        ({"inputs": 3}, 422, "`inputs` is a number, not a text"),
        ({"inputs": ["a", True]}, 422, "`inputs[1]` is a boolean, not a text"),
        ({"inputs": [["a", "b"]]}, 422, "`inputs[0]` is a list, not a text"),
        ({"inputs": ["a"] * 5}, 422, "`inputs` holds 5 texts; at most 4"),
        ({"inputs": ["a", "b" * 21]}, 422, "`inputs[1]` has 21 characters; at most 20"),
        ({"inputs": {"text": "a", "text_pair": "b" * 21}}, 422, "`inputs.text_pair` has 21 characters"),
        ({"inputs": {"text_pair": "b"}}, 422, "`inputs` has no `text`"),
        ({"inputs": {"text": 1}}, 422, "`inputs.text` is a number"),
        ({"inputs": {"text": "a", "textpair": "b"}}, 422, "did you mean `text_pair`"),
        ({"inputs": [{"text": "a", "text_pair": ["b"]}]}, 422, "`inputs[0].text_pair` is a list"),
        ({"inputs": ""}, 422, "`inputs` holds no text"),
        ({"inputs": ["a", " \n\u3000"]}, 422, "`inputs[1]` holds no text"),
        ({"inputs": "a", "options": 1}, 422, "`options` is a number, not an object"),
        ({"inputs": "a", "parameters": "x"}, 422, "`parameters` is a text, not an object"),
        ({"inputs": "a", "parameters": {"topk": 1}}, 422, "`parameters` has no key 'topk'; did you mean `top_k`"),
        ({"inputs": "a", "parameters": {"top_k": 0}}, 422, "`parameters.top_k` must be a whole number from 1"),
        ({"inputs": "a", "parameters": {"top_k": True}}, 422, "`parameters.top_k`"),
        ({"inputs": "a", "parameters": {"top_k": 1.0}}, 422, "`parameters.top_k`"),
        ({"inputs": "a", "parameters": {"function_to_apply": "relu"}}, 422, "one of softmax, sigmoid, none"),
        ({"inputs": "a", "parameters": {"function_to_apply": []}}, 422, "one of softmax, sigmoid, none"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_the_key_and_the_reason(body, status, message):
    with pytest.raises(RequestError) as refused:
        read(body)
    assert refused.value.status == status
    assert message in str(refused.value)


def test_a_refusal_quotes_no_text_and_little_of_a_key():
    for body in ({"inputs": "secret" * 9}, {"inputs": ["secret", 1]}, {"inputs": {"text": "secret", "x" * 999: 1}}):
        with pytest.raises(RequestError) as refused:
            read(body)
        assert "secret" not in str(refused.value)
        assert len(str(refused.value)) < 150


def test_texts_are_prepared_and_what_cannot_be_is_told():
    def prepare(text):
        if text == "bad":
            raise ValueError("no good")
        return text.upper()

    assert read({"inputs": ["a", {"text": "b", "text_pair": "c"}]}, prepare=prepare).texts == [("A", None), ("B", "C")]
    with pytest.raises(RequestError, match=r"`inputs\[1\]`: no good"):
        read({"inputs": ["a", "bad"]}, prepare=prepare)


def test_labels_come_best_first_and_ties_in_the_models_order():
    scores = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])
    found = json.loads(answer(scores, ["a", "b", "c"], None))
    assert [[one["label"] for one in text] for text in found] == [["b", "c", "a"], ["a", "c", "b"]]
    assert [[one["score"] for one in text] for text in found] == [[0.5, 0.3, 0.2], [0.4, 0.4, 0.2]]
    assert json.loads(answer(scores, ["a", "b", "c"], 1)) == [
        [{"label": "b", "score": 0.5}], [{"label": "a", "score": 0.4}]
    ]  # fmt: skip
    assert len(json.loads(answer(scores, ["a", "b", "c"], 9))[0]) == 3
    assert json.loads(answer(np.array([[1.0]]), ['"é\ud83d'], None)) == [[{"label": '"é\ud83d', "score": 1.0}]]


def test_the_example_of_the_schema_is_one():
    assert read(REQUEST_SCHEMA["example"]).top_k == 1
    assert set(REQUEST_SCHEMA["properties"]) == {"inputs", "parameters", "options"}
