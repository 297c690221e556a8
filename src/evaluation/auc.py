"""Areas under the ROC curve over chosen pairs of a healthy and a sick patient, such as those of one year."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from src.evaluation.intervals import LEVEL, Interval, exact_where_constant, patient_bootstrap

MIN_PAIRS, MIN_PATIENTS = 30, 5
"""Fewer pairs than this, or fewer patients of either diagnosis in them, and there is no answer."""


@dataclass(frozen=True)
class PairAUC:
    """An AUC with its interval, and what it rests on: pairs, and the patients who stand in at least one of them."""

    interval: Interval
    pairs: int
    healthy: int
    sick: int

    def __str__(self) -> str:
        told = str(self.interval) if self.interval.value is not None else "cannot be answered"
        return f"{told}, {self.pairs} pairs"


def within_strata_auc(
    labels: np.ndarray, scores: np.ndarray, strata: Sequence[Hashable], seed: int | np.random.Generator
) -> PairAUC:
    """AUC over the pairs of a healthy and a sick patient of one stratum only, with its 95% interval.

    What differs between strata alone, such as the year of the camera, cannot raise it. All are [N], one entry a
    patient: labels are 1 for sick; a stratum that is None is unknown, and its patient stands in no pair. Fewer than
    `MIN_PAIRS` pairs, or `MIN_PATIENTS` patients of a diagnosis in them, give no value. Raises ValueError where the
    lengths differ.

    Source: Janes and Pepe, Adjusting for covariates in studies of diagnostic accuracy, American Journal of
    Epidemiology 2008.
    """
    weights = same_stratum(labels, strata)
    return auc_over_pairs(labels, wins_of(labels, scores) * weights, weights, seed)


def auc_over_pairs(
    labels: np.ndarray,
    wins: np.ndarray,
    weights: np.ndarray,
    seed: int | np.random.Generator,
    level: float = LEVEL,
    patients: Sequence[str] | None = None,
) -> PairAUC:
    """AUC over the pairs [S, H] of a sick and a healthy patient, with an interval that resamples patients.

    labels: [N], 1 for sick; weights: how often each pair was compared, 0 for never; wins: how often the sick patient
    scored higher, ties as a half; patients: whose each of the N is, where a drawn one is healthy once and sick once.
    """
    sick = labels == 1
    compared = weights > 0
    counts = int(compared.sum()), int(compared.any(axis=0).sum()), int(compared.any(axis=1).sum())
    if counts[0] < MIN_PAIRS or min(counts[1:]) < MIN_PATIENTS:
        found = f"{counts[0]} pairs of {counts[1]} healthy and {counts[2]} sick patients"
        reason = f"the data cannot answer: {found}, needed are {MIN_PAIRS} pairs of {MIN_PATIENTS} and {MIN_PATIENTS}"
        return PairAUC(Interval(None, reason=reason), *counts)

    def statistic(drawn: np.ndarray) -> dict[str, np.ndarray]:
        of_sick, of_healthy = drawn[:, sick], drawn[:, ~sick]
        won, tried = (((of_sick @ pairs) * of_healthy).sum(axis=1) for pairs in (wins, weights))
        with np.errstate(invalid="ignore"):
            return {"auc": won / tried}

    patients = patients or [str(number) for number in range(len(labels))]
    interval = patient_bootstrap(patients, statistic, seed, level=level)["auc"]
    # Pairs that share no patient are independent of each other.
    matched = int((maximum_bipartite_matching(csr_array(compared), perm_type="column") >= 0).sum())
    return PairAUC(exact_where_constant(interval, matched * len(set(patients)) // len(patients), level), *counts)


def auc_without_and_with(without: np.ndarray, with_it: np.ndarray) -> Interval:
    """AUC of scores of the same drawn patients [N] without and with a tumour, each compared with all others.

    A resampled patient brings both scores.
    """
    count = len(without)
    labels, weights = np.repeat([0, 1], count), 1 - np.eye(count)  # nobody against herself
    wins = wins_of(labels, np.concatenate([without, with_it])) * weights
    return auc_over_pairs(labels, wins, weights, 0, patients=[str(number) for number in range(count)] * 2).interval


def wins_of(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Who scores higher in each pair [S, H] of a sick and a healthy patient: 1 the sick one, 0 the other, 0.5 a tie."""
    difference = scores[labels == 1][:, None] - scores[labels == 0]
    return np.asarray((np.sign(difference) + 1) / 2)


def same_stratum(labels: np.ndarray, strata: Sequence[Hashable]) -> np.ndarray:
    """Weight 1 for each pair [S, H] of patients of one known stratum, else 0."""
    numbers: dict[Hashable, int] = {}
    codes = np.array([-1 if name is None else numbers.setdefault(name, len(numbers)) for name in strata])
    if len(codes) != len(labels):
        raise ValueError(f"{len(labels)} labels and {len(codes)} strata")
    sick, healthy = codes[labels == 1], codes[labels == 0]
    return np.asarray((sick[:, None] == healthy) & (healthy >= 0), dtype=np.float64)
