"""Support vector machines to compare networks with, chosen by cross-validation within training.

Whatever is estimated (scaling, principal components, the parameters, probabilities) comes from the
training scans; within the inner cross-validation from those of the other folds. Only inner products
of scans are needed, so that the number of features costs little. Features, or their principal
components, are scaled to a total variance of 1: the same grid then reaches from classes told apart
by their means to no errors in training, for one feature as for a hundred thousand.

Source: Eitel et al. 2019, 2.4.5 (grid search in an inner cross-validation, optional principal
components); Platt 1999, Adv. Large Margin Classif., 61-74 (probabilities).
"""

from bids_xai.core.baselines.folds import inner_fold_numbers
from bids_xai.core.baselines.machine import FittedSvm, SvmParameters, decision_values, predict
from bids_xai.core.baselines.search import KERNELS, fit_svm
from bids_xai.core.baselines.sigmoid import platt_sigmoid

__all__ = [
    "KERNELS",
    "FittedSvm",
    "SvmParameters",
    "decision_values",
    "fit_svm",
    "inner_fold_numbers",
    "platt_sigmoid",
    "predict",
]
