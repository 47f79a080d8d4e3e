"""Labels that mean the same are one class, and what is no class is refused."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from configs.errors import InputError
from configs.processes import IN_POOL
from configs.run_folder import RunFolder
from finetune.classification import bag_of_words
from finetune.classification.labels import check_labels, label_set
from finetune.config import FinetuneConfig
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.row_labels import Label


def classes_of(labels):
    return label_set(labels, {label: str(label) for label in labels}, CorpusConfig())


def test_two_classes_of_one_name_are_refused():
    names: dict[Label, str] = {0: "fine", 1: "fine", 2: "bad"}
    corpus = CorpusConfig(source="a.csv", label_name_column="told")
    with pytest.raises(InputError, match="column 'told' calls the labels '0' and '1' both 'fine'; give each"):
        label_set([0, 1, 2], names, corpus)
    assert label_set([0, 1, 2], names | {1: "good"}, corpus).names == ["fine", "good", "bad"]


@pytest.mark.parametrize(
    ("labels", "keys"),
    [
        ([10, 9, 9], ["9", "10"]),
        (["10", "9", "9"], ["9", "10"]),
        (["-1", "0", "1", "1.0"], ["-1", "0", "1"]),
        ([1, "1", "0.0", 0], ["0", "1"]),
        (["0.5", "1.5", "1.50"], ["0.5", "1.5"]),
        (["b", "a", "B"], ["a", "b"]),
        (["007", "7"], ["007", "7"]),
        (["True", "true", "False"], ["false", "true"]),
        (["1 star", "2 stars"], ["1 star", "2 stars"]),
    ],
)
def test_classes_are_in_the_order_of_numbers_else_of_the_alphabet(labels, keys):
    assert classes_of(labels).keys == keys


def test_a_class_has_the_name_of_its_most_frequent_label_and_all_spellings_are_told():
    classes = classes_of(["Good", "good", "Good", "bad"])
    assert classes.names == ["bad", "Good"]
    assert classes.encode(["GOOD ", "Bad"], CorpusConfig()).tolist() == [1, 0]
    assert classes.counts_line(np.array([1, 1, 1, 0])) == "classes: bad 1, Good 3 ('Good' and 'good' are one)"


def test_labels_of_which_a_text_may_have_several_are_a_zero_or_one_for_each():
    labels = [("bug", "Billing"), (), ("billing",), ("billing", "praise")]
    classes = label_set(labels, {}, CorpusConfig())
    assert classes.multi_label
    assert classes.names == ["billing", "bug", "praise"]
    matrix = classes.encode(labels, CorpusConfig())
    assert matrix.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 1]]
    assert classes.counts_line(matrix) == (
        "labels, 1.2 a text: billing 3, bug 1, praise 1 ('Billing' and 'billing' are one); 1 of 4 texts have none"
    )
    columns = CorpusConfig(label_columns=["praise", "bug", "billing"])
    assert label_set(labels, {}, columns).names == ["praise", "bug", "billing"]
    with pytest.raises(InputError, match=r"label_columns: no text of .* has a 1 for 'refund'"):
        label_set(labels, {}, CorpusConfig(label_columns=["bug", "refund"]))


def test_an_empty_separator_takes_cells_as_they_are():
    labels = ["a|b", "b|a", "a"] * 5
    assert label_set(labels, {}, CorpusConfig(label_separator="")).keys == ["a", "a|b", "b|a"]


def test_training_texts_in_a_table_fit_test_texts_in_parquet(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\n" + "a,0\nb,1.0\n" * 10)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([{"text": "c", "label": 1}, {"text": "d", "label": 0}]), tmp_path / "test.parquet"
    )
    (tmp_path / "validation.jsonl").write_text("".join(json.dumps({"text": "e", "label": x}) + "\n" for x in (0.0, 1)))
    corpus = CorpusConfig(source=str(tmp_path), split="train")
    assert check_labels(FinetuneConfig(corpus=corpus, validation="validation")).names == ["0", "1.0"]


def test_truth_values_of_json_fit_those_of_a_table(tmp_path):
    rows = [{"text": f"text {number}", "label": number % 2 == 0} for number in range(20)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "test.csv").write_text("text,label\na,True\nb,FALSE\n")
    assert check_labels(FinetuneConfig(corpus=CorpusConfig(source=str(tmp_path), split="train"))).keys == [
        "false",
        "true",
    ]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([str(number / 7) for number in range(200)], "200 different numbers with fractions .* are measurements"),
        ([f"{number}.5" for number in range(10)] + ["1"], "10 different numbers with fractions|11 different"),
        (["drama,comedy", "drama", "comedy,war", "war", "drama,war"] * 9, "labels made of 3 others by ','"),
        (["a|b", "b|a", "a"] * 5, "made of 2 others"),
        (["a,b", "b,c", "c,", "a"] * 5, "4 labels made of 3 others by ','"),
        # Most of them, and one with another joint.
        ([*["a;b", "b;c", "a", "b", "c"] * 5, "a, b"], "6 labels made of 4 others by ';'"),
        (["a;b", "b;c", "c;d", "a"] * 5, "4 labels made of 4 others by ';'"),
        (["3,5", "4,5", "4,0", "3,0", "5,0"] * 5, "5 labels such as '3,5' seem to be numbers with a decimal comma"),
        ([f"id-{number}" for number in range(300)], "300 different labels for 300 texts .* are ids or texts"),
        (["only"] * 5, "one label only"),
        ([1, "b", 1], "mixes numbers and strings as labels: 1, 'b'"),
        ([("a",), ("a",)], "one label only, 'a'"),
        ([(), ()], "no label at all"),
        ([("a",), (1,)] * 9, "mixes numbers and strings"),
        ([(0, 1), (1, 0)] * 9, r"every text has every label \(0, 1\).*corpus\.label_columns"),
        ([("0.12", "0.5", "-0.3"), ("0.7", "0.15", "0.9")] * 9, "6 different numbers with fractions"),
        ([(f"tag-{n}", f"tag-{n + 1000}") for n in range(300)], "600 different labels for 300 texts"),
        ([("a;b",), ("b;a",), ("a",)] * 5, "made of 2 others by ';' .*corpus.label_separator: ';'"),
    ],
)
def test_what_is_no_class_is_refused_with_the_reason(labels, message):
    with pytest.raises(InputError, match=message):
        classes_of(labels)


@pytest.mark.parametrize(("split", "name"), [("all", "flat"), ("train", "train")])
def test_texts_in_one_folder_are_refused_with_what_their_labels_are(tmp_path, split, name):
    (tmp_path / "flat" / "train").mkdir(parents=True)
    corpus = CorpusConfig(source=str(tmp_path / "flat"), split=split)
    with pytest.raises(InputError, match=f"'{name}'; .* the names of their folders, so make a folder for each class"):
        label_set([name] * 9, {}, corpus)
    with pytest.raises(InputError, match=r"a classifier needs two$"):
        label_set(["pos"] * 9, {}, corpus)


@pytest.mark.parametrize(
    "labels",
    [
        ["good, really", "bad, awful"] * 5,
        ["home, garden", "home", "toys"] * 5,
        ["R&B; soul", "rock", "jazz"] * 5,
        ["R&B; Soul", "Pop; Rock"] * 5,
        ["R&B | Soul", "Pop | Rock", "Folk | Country", "Jazz"] * 5,
        ["3", "5", "3,5"] * 5,
        [f"class {number}" for number in range(200)] * 4,
        ["1.5", "2"] * 9,
    ],
)
def test_classes_with_commas_or_fractions_and_many_classes_are_classes(labels):
    assert len(classes_of(labels).keys) == len(set(labels))


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["yes", "no", "yes, no", "maybe"] * 5, "'yes, no' (5 texts)"),
        ([*["drama", "comedy"] * 20, "drama;comedy"], "'drama;comedy' (1 text)"),
        (["R&B; Soul", "R&B", "Soul", "Pop"] * 5, "'R&B; Soul' (5 texts)"),
        (["R&B; Soul", "R&B", "Pop"] * 5, ""),
        (["3", "5", "3,5"] * 5, ""),
    ],
)
def test_a_label_that_may_be_several_is_a_class_and_told(caplog, labels, told):
    assert len(classes_of(labels).keys) == len(set(labels))
    assert told in caplog.text
    assert ("taken for a class of its own" in caplog.text) == bool(told)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["war", "drama", "love", "war/drama", "love/war", "drama/love"], "set corpus.label_separator: '/'"),
        (["cs.AI", "cs.CL", "cs.LG", "cs.AI cs.CL", "cs.LG cs.AI", "cs.CL cs.LG"], "set corpus.label_separator: ' '"),
        (["<a>", "<b>", "<c>", "<a><b>", "<c><a>", "<b><c>"], "with `;` between, and set corpus.label_separator: ';'"),
        # A word before each, and one class of two words.
        (["good", "bad", "so", "very", "very good", "very bad", "very so"], ""),
        (["good", "bad", "very good", "very bad", "so so"], ""),
        (["new", "york", "new york", "delhi", "new delhi"], ""),
    ],
)
def test_labels_that_are_combined_in_several_ways_are_told(caplog, labels, told):
    assert len(classes_of(labels * 4).keys) == len(labels)
    assert told in caplog.text
    assert bool(caplog.text) == bool(told)


def test_joined_labels_are_not_told_again_in_each_run_of_a_comparison(caplog, monkeypatch):
    labels = ["yes", "no", "yes, no", "maybe"] * 5
    monkeypatch.setenv(IN_POOL, "1")
    classes_of(labels)
    monkeypatch.delenv(IN_POOL)
    label_set(labels, {}, CorpusConfig(), tell_joined=False)
    assert "taken for a class of its own" not in caplog.text
    caplog.clear()
    label_set(labels, {}, CorpusConfig(label_separator=""))
    assert not caplog.text


def test_given_texts_that_are_copies_of_training_texts_are_told_once(tmp_path, caplog, monkeypatch):
    rows = [{"text": f"text {number}", "label": number % 2} for number in range(20)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    others = [{"text": text, "label": 0} for text in ("TEXT  4", "text 5", "another")] + [{"text": "last", "label": 1}]
    for name, part in (("test", others), ("validation", others[2:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    config = FinetuneConfig(corpus=CorpusConfig(source=str(tmp_path), split="train"), validation="validation")
    check_labels(config, tell=False)
    assert "copies" not in caplog.text
    check_labels(config)
    (told,) = (record.message for record in caplog.records if "copies" in record.message)
    assert told.startswith("test: 2 of the 4 test texts are copies of training texts")
    # A run alone tells it, too, of the texts it trains on; in a comparison's pool it has been told.
    caplog.clear()
    bag_of_words.train_and_test(config, RunFolder(tmp_path / "alone"))
    assert "2 of the 4 test texts are copies" in caplog.text
    caplog.clear()
    monkeypatch.setenv(IN_POOL, "1")
    bag_of_words.train_and_test(config, RunFolder(tmp_path / "in-pool"))
    assert "copies" not in caplog.text
