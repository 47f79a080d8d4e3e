"""The linear baseline: logistic regression on TF-IDF features (both from scikit-learn).

Shapes: N texts, C classes, K classes that occur in the training texts.
"""

import time

import numpy as np
import pyarrow
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from configs.run_folder import RunFolder
from finetune.classification.config import TaskConfig
from finetune.classification.corpora import corpora_of
from finetune.classification.labels import LabelSet, label_set
from finetune.classification.metrics import scores
from finetune.classification.predictions import write_result
from finetune.classification.splits import draw_splits, draw_validation_texts, text_key
from pretrain.data.encode import document_row
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import Document
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
    documents, classes = read(config)
    train_documents, held_out_documents, test_documents = draw_documents(config, documents, classes)
    train_texts, train_labels = texts_and_labels(train_documents, classes, config.corpus)
    held_out_texts, held_out_labels = texts_and_labels(held_out_documents, classes, config.corpus)
    test_texts, test_labels = texts_and_labels(test_documents, classes, config.corpus)
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
        model.fit(train_features, train_labels)
        probabilities_NC = expand_to_classes(model.predict_proba(held_out_features), model.classes_, len(class_indices))
        values = scores(probabilities_NC.argmax(1), held_out_labels)
        loss = float(log_loss(held_out_labels, probabilities_NC, labels=class_indices))
        if best is None or (values[config.select_by], -loss) > best:
            best, best_model, validation_scores = (values[config.select_by], -loss), model, values | {"loss": loss}
    test_probabilities_NC = expand_to_classes(
        best_model.predict_proba(vectorizer.transform(test_texts)), best_model.classes_, len(class_indices)
    )
    facts = {
        "seconds": time.monotonic() - started,
        "parameters": best_model.coef_.size + best_model.intercept_.size,
        "penalty": best_model.C,
        "train_texts": len(train_texts),
        "validation_texts": len(held_out_texts),
        "test_texts": len(test_texts),
    }
    rows = [document_row(document, labelled=True) for document in test_documents]
    columns = {name: [row[name] for row in rows] for name in ("text", "second_text", "file", "row")}
    write_result(folder, facts, validation_scores, classes, test_probabilities_NC, test_labels, pyarrow.table(columns))


def read(config: TaskConfig) -> tuple[dict[str, list[Document]], LabelSet]:
    """The documents of each corpus, and the classes.

    Raises:
        InputError: a text, column or label is missing.
    """
    corpora = corpora_of(config)
    documents = {name: list(read_documents(corpus, labelled=True)) for name, corpus in corpora.items()}
    labels = [text.label for text in documents["train"] if text.label is not None]
    names = {text.label: text.label_name or str(text.label) for text in documents["train"] if text.label is not None}
    return documents, label_set(labels, names, corpora["train"])


def draw_documents(
    config: TaskConfig, documents: dict[str, list[Document]], classes: LabelSet
) -> tuple[list[Document], list[Document], list[Document]]:
    """The training, validation and test texts: the same as of the other models.

    Raises:
        InputError: a label does not occur in the training texts, or a class would be missing from a part.
    """
    train = documents["train"]
    _, train_classes_N = texts_and_labels(train, classes, config.corpus)
    splits = draw_splits(
        config, train_classes_N, lambda: [text_key(text.text, text.second_text) for text in train], classes.names
    )
    validation, held_out = splits.validation, train
    if "validation" in documents:
        held_out = documents["validation"]
        validation = draw_validation_texts(config, texts_and_labels(held_out, classes, config.corpus)[1])
    test = documents["test"] if splits.test is None else [train[index] for index in splits.test]
    return [train[index] for index in splits.train], [held_out[index] for index in validation], test


def texts_and_labels(
    documents: list[Document], classes: LabelSet, corpus: CorpusConfig
) -> tuple[list[str], np.ndarray]:
    """The texts, a second one appended to the first, and their class indices."""
    labels = [text.label for text in documents if text.label is not None]
    return [f"{text.text}\n{text.second_text or ''}" for text in documents], classes.encode(labels, corpus)


def expand_to_classes(probabilities_NK: np.ndarray, known_K: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities [N, C] from those of the K classes that occur in training, [N, K]; other classes get 0.

    >>> expand_to_classes(np.array([[0.25, 0.75]]), np.array([0, 2]), 3)
    array([[0.25, 0.  , 0.75]])
    """
    probabilities_NC = np.zeros((len(probabilities_NK), classes))
    probabilities_NC[:, known_K] = probabilities_NK
    return probabilities_NC
