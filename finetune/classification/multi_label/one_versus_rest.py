"""A logistic regression for each label, which says whether it applies.

Shapes: N texts, C labels, F features.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special
from sklearn.linear_model import LogisticRegression


class OneVersusRest:
    """One logistic regression a label, with the same penalty; a label that all or no texts have is a constant."""

    def __init__(
        self, make: Callable[[], LogisticRegression], ratios: Callable[[Any, np.ndarray], np.ndarray] | None = None
    ) -> None:
        """Without training.

        Args:
            make: an untrained logistic regression.
            ratios: weights of the features for a label, from features and which texts have it; None: 1.
        """
        self.make, self.ratios = make, ratios
        self.coef_ = np.zeros((0, 0))
        self.intercept_ = np.zeros(0)

    def fit(self, features_NF: Any, labels_NC: np.ndarray, weights_C: np.ndarray | None = None) -> "OneVersusRest":
        """Fit every label; texts that have a label may weigh more than others.

        Args:
            features_NF: an array or a sparse matrix.
            labels_NC: 1 where a text has a label.
            weights_C: of a text that has the label; None: 1.
        """
        labels = labels_NC.shape[1]
        self.coef_, self.intercept_ = np.zeros((labels, features_NF.shape[1])), np.zeros(labels)
        for label, has_N in enumerate((labels_NC > 0).T):
            if has_N.all() or not has_N.any():
                self.intercept_[label] = scipy.special.logit((has_N.sum() + 0.5) / (len(has_N) + 1))
                continue
            weights_N = None if weights_C is None else np.where(has_N, weights_C[label], 1.0)
            ratios_F = None if self.ratios is None else self.ratios(features_NF, has_N)
            weighted_NF = features_NF if ratios_F is None else features_NF.multiply(ratios_F).tocsr()
            model = self.make().fit(weighted_NF, has_N, weights_N)
            self.coef_[label] = model.coef_[0] if ratios_F is None else ratios_F * model.coef_[0]
            self.intercept_[label] = model.intercept_[0]
        return self

    def predict_proba(self, features_NF: Any) -> np.ndarray:
        """The probability of each label, [N, C]."""
        return scipy.special.expit(features_NF @ self.coef_.T + self.intercept_)
