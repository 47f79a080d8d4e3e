"""The linear baseline: logistic regression on TF-IDF features (both from scikit-learn).

Shapes: N texts, C classes, K classes that occur in the training texts.
"""

import time

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from configs.run_folder import RunFolder
from finetune.classification.config import TaskConfig
from finetune.classification.corpora import corpora_of
from finetune.classification.labels import LabelSet, label_set
from finetune.classification.metrics import scores
from finetune.classification.predictions import write_result
from finetune.classification.splits import draw_texts, draw_validation_texts
from tokenizer.corpus.documents import read as read_documents

# Inverse strengths of the L2 penalty, to be selected on the validation texts.
INVERSE_PENALTIES = (0.1, 1.0, 10.0, 100.0)
TOKEN = r"\w+|[^\w\s]"


def train_and_test(config: TaskConfig, folder: RunFolder) -> None:
    """Fit, select the penalty on the validation texts, test once. No `model/` is saved.

    Raises:
        InputError: a text, column or label is missing, or a label does not occur in the training texts.
    """
    started = time.monotonic()
    texts, labels, classes = read(config)
    train_indices, validation_indices = draw_texts(config, labels["train"], classes.names)
    train_texts = [texts["train"][index] for index in train_indices]
    held_out = "validation" if "validation" in texts else "train"
    if held_out == "validation":
        validation_indices = draw_validation_texts(config, labels["validation"])
    held_out_texts = [texts[held_out][index] for index in validation_indices]
    held_out_labels = labels[held_out][validation_indices]
    folder.begin(config)

    vectorizer = TfidfVectorizer(
        ngram_range=(1, config.model.longest_word_sequence), sublinear_tf=True, token_pattern=TOKEN, min_df=1
    )
    train_features = vectorizer.fit_transform(train_texts)
    held_out_features = vectorizer.transform(held_out_texts)
    class_indices = np.arange(len(classes.names))
    best: tuple[float, float] | None = None
    for inverse_penalty in INVERSE_PENALTIES:
        model = LogisticRegression(C=inverse_penalty, max_iter=1000, random_state=config.seed)
        model.fit(train_features, labels["train"][train_indices])
        probabilities_NC = expand_to_classes(model.predict_proba(held_out_features), model.classes_, len(class_indices))
        values = scores(probabilities_NC.argmax(1), held_out_labels)
        loss = float(log_loss(held_out_labels, probabilities_NC, labels=class_indices))
        if best is None or (values[config.select_by], -loss) > best:
            best, best_model, validation_scores = (values[config.select_by], -loss), model, values | {"loss": loss}
    test_probabilities_NC = expand_to_classes(
        best_model.predict_proba(vectorizer.transform(texts["test"])), best_model.classes_, len(class_indices)
    )
    facts = {
        "seconds": time.monotonic() - started,
        "parameters": best_model.coef_.size + best_model.intercept_.size,
        "penalty": best_model.C,
        "train_texts": len(train_texts),
        "validation_texts": len(held_out_texts),
        "test_texts": len(texts["test"]),
    }
    write_result(folder, facts, validation_scores, classes, test_probabilities_NC, labels["test"])


def read(config: TaskConfig) -> tuple[dict[str, list[str]], dict[str, np.ndarray], LabelSet]:
    """The texts and class indices of each corpus, and the classes; a second text is appended to the first.

    Raises:
        InputError: a text, column or label is missing, or a label does not occur in the training texts.
    """
    corpora = corpora_of(config)
    documents = {name: list(read_documents(corpus, labelled=True)) for name, corpus in corpora.items()}
    labels = {name: [text.label for text in rows if text.label is not None] for name, rows in documents.items()}
    names = {text.label: text.label_name or str(text.label) for text in documents["train"] if text.label is not None}
    classes = label_set(labels["train"], names, corpora["train"])
    texts = {name: [f"{text.text}\n{text.second_text or ''}" for text in rows] for name, rows in documents.items()}
    return texts, {name: classes.encode(labels[name], corpora[name]) for name in corpora}, classes


def expand_to_classes(probabilities_NK: np.ndarray, known_K: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities [N, C] from those of the K classes that occur in training, [N, K]; other classes get 0.

    >>> expand_to_classes(np.array([[0.25, 0.75]]), np.array([0, 2]), 3)
    array([[0.25, 0.  , 0.75]])
    """
    probabilities_NC = np.zeros((len(probabilities_NK), classes))
    probabilities_NC[:, known_K] = probabilities_NK
    return probabilities_NC
