"""The linear yardstick: logistic regression on TF-IDF word counts (both by scikit-learn)."""

import time

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from configs.run_folder import RunFolder
from finetune.classification.config import TaskConfig
from finetune.classification.corpora import corpora_of
from finetune.classification.labels import LabelSet, draw_texts, draw_validation_texts, label_set
from finetune.classification.metrics import scores
from finetune.classification.predictions import finish
from tokenizer.corpus.documents import read as read_documents

# Inverse strengths of the L2 penalty, of which the validation texts choose one.
PENALTIES = (0.1, 1.0, 10.0, 100.0)
TOKEN = r"\w+|[^\w\s]"


def train_and_test(config: TaskConfig, folder: RunFolder) -> None:
    """Fit, choose the penalty on the validation texts, test once. There is no `model/`: it is a yardstick.

    Raises:
        InputError: a text, column or label is missing, or a label appears that the training texts lack.
    """
    started = time.monotonic()
    texts, labels, classes = read(config)
    chosen, validation = draw_texts(config, labels["train"])
    train_texts = [texts["train"][place] for place in chosen]
    held_out = "validation" if "validation" in texts else "train"
    if held_out == "validation":
        validation = draw_validation_texts(config, labels["validation"])
    held_out_texts = [texts[held_out][place] for place in validation]
    held_out_labels = labels[held_out][validation]
    folder.begin(config)

    words = TfidfVectorizer(
        ngram_range=(1, config.model.longest_word_sequence), sublinear_tf=True, token_pattern=TOKEN, min_df=1
    )
    train_features = words.fit_transform(train_texts)
    held_out_features = words.transform(held_out_texts)
    every_class = np.arange(len(classes.names))
    best: tuple[float, float] | None = None
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=1000, random_state=config.seed)
        model.fit(train_features, labels["train"][chosen])
        probabilities_NC = spread(model.predict_proba(held_out_features), model.classes_, len(every_class))
        found = scores(probabilities_NC.argmax(1), held_out_labels)
        loss = float(log_loss(held_out_labels, probabilities_NC, labels=every_class))
        if best is None or (found[config.select_by], -loss) > best:
            best, kept, validated = (found[config.select_by], -loss), model, found | {"loss": loss}
    tested_NC = spread(kept.predict_proba(words.transform(texts["test"])), kept.classes_, len(every_class))
    facts = {
        "seconds": time.monotonic() - started,
        "parameters": kept.coef_.size + kept.intercept_.size,
        "penalty": kept.C,
        "train_texts": len(train_texts),
        "validation_texts": len(held_out_texts),
        "test_texts": len(texts["test"]),
    }
    finish(folder, facts, validated, classes, tested_NC, labels["test"])


def read(config: TaskConfig) -> tuple[dict[str, list[str]], dict[str, np.ndarray], LabelSet]:
    """The texts and classes of each part of the data; a second text is joined to the first.

    Raises:
        InputError: a text, column or label is missing, or a label appears that the training texts lack.
    """
    found = corpora_of(config)
    documents = {name: list(read_documents(source, labelled=True)) for name, source in found.items()}
    values = {name: [text.label for text in part if text.label is not None] for name, part in documents.items()}
    names = {text.label: text.label_name or str(text.label) for text in documents["train"] if text.label is not None}
    classes = label_set(values["train"], names, found["train"])
    texts = {name: [f"{text.text}\n{text.second_text or ''}" for text in part] for name, part in documents.items()}
    return texts, {name: classes.numbers(values[name], found[name]) for name in found}, classes


def spread(probabilities_NK: np.ndarray, known_K: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities [N, C] from those of the K classes that the training texts held; the others get 0.

    >>> spread(np.array([[0.25, 0.75]]), np.array([0, 2]), 3)
    array([[0.25, 0.  , 0.75]])
    """
    spread_NC = np.zeros((len(probabilities_NK), classes))
    spread_NC[:, known_K] = probabilities_NK
    return spread_NC
