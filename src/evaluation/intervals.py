"""95% intervals of scores: patients are resampled, never frames, because frames of one patient are not independent.

A score comes as a `Statistic`: from how often each unit (a frame, or a patient) was drawn, [R, N], to scores [R], for
all R resamples at once. All units of a patient are drawn together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import binomtest

from src.errors import UserError

LEVEL = 0.95
RESAMPLES = 2000
CONSTANT = "nearly every resample gives the same value"
_CELLS = 1_000_000  # of one array of counts that a statistic is given, to bound its memory
_SAME = 1e-9  # scores closer than this differ by rounding only

Statistic = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Interval:
    """A score with the ends of its 95% interval; what does not exist is None, and `reason` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    undefined: int = 0  # resamples that were left out because the score does not exist on them
    reason: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return f"undefined: {self.reason}"
        if self.low is None or self.high is None:
            return f"{self.value:.2f} (no interval)"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def score(statistic: Statistic, units: int) -> dict[str, float]:
    """The scores of the sample itself: every unit counts once."""
    return {name: float(values[0]) for name, values in statistic(np.ones((1, units))).items()}


def mean_over_runs(statistics: Sequence[Statistic]) -> Statistic:
    """The mean of each score over several runs that were tested on the same units, in one order."""

    def statistic(counts: np.ndarray) -> dict[str, np.ndarray]:
        found = [of_run(counts) for of_run in statistics]
        return {name: np.mean([scores[name] for scores in found], axis=0) for name in found[0]}

    return statistic


def patient_bootstrap(
    patients: Sequence[str],
    statistic: Statistic,
    seed: int | np.random.Generator,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """Bias-corrected and accelerated (BCa) bootstrap intervals of every score, with patients as the sampling unit.

    They are 95% intervals unless `level` says otherwise.

    patients: whose each of the N units is. A resample without a score (NaN), such as an AUC when only one diagnosis was
    drawn, is left out and counted in `undefined`, which is the same as drawing again. There is no interval for one
    patient, for a score that is undefined or that is undefined without some one patient, where nearly every resample
    gives the same value, or where all resamples lie to one side of it. An interval is widened to hold its value.

    Source: Efron, Better bootstrap confidence intervals, JASA 1987; widened for few patients as the percentile interval
    is by Hesterberg, What teachers should know about the bootstrap, American Statistician 2015; patients as clusters:
    Field and Welsh, JRSS B 2007.
    """
    count = len(np.unique(np.asarray(patients)))
    found = _resampled(patients, statistic, _plan(count, resamples, seed))
    return {name: _interval(values, count, level) for name, values in found.items()}


def paired_bootstrap(
    patients: tuple[Sequence[str], Sequence[str]],
    statistics: tuple[Statistic, Statistic],
    seed: int | np.random.Generator,
) -> dict[str, Interval]:
    """Intervals of the first run's scores minus the second's, both on the same resamples of the same patients.

    The two may have different frames of a patient. As in `patient_bootstrap`, save that runs which no resample tells
    apart have the interval 0 to 0. Raises `UserError` where patients or scores of the two differ.
    """
    names = [{str(name) for name in of_run} for of_run in patients]
    if names[0] != names[1]:
        apart = sorted(names[0] ^ names[1])
        raise UserError(
            f"two runs tested on different patients cannot be paired: {len(apart)} in one only, such as {apart[0]}; "
            "compare runs that share a split"
        )
    count = len(names[0])
    plan = _plan(count, RESAMPLES, seed)
    one, other = (_resampled(of_run, run, plan) for of_run, run in zip(patients, statistics, strict=True))
    if one.keys() != other.keys():
        apart = sorted(one.keys() ^ other.keys())
        raise UserError(f"two runs with different scores cannot be paired: {', '.join(apart)} in one only")
    return {name: _interval(one[name] - other[name], count, LEVEL, may_be_constant=True) for name in one}


def exact_where_constant(interval: Interval, trials: int, level: float = LEVEL) -> Interval:
    """A score of 1 or 0, whose resamples are nothing but 1 or 0, with the exact interval of such a proportion.

    trials: independent ones, all of which succeeded (or failed); with 0 of them, and for another score, nothing
    changes. The interval is that of Clopper and Pearson.
    """
    if interval.reason != CONSTANT or interval.value not in (0, 1) or not trials:
        return interval
    found = binomtest(int(interval.value) * trials, trials).proportion_ci(level, method="exact")
    reason = f"exact binomial interval of {trials} trials, as {CONSTANT}"
    return replace(interval, low=float(found.low), high=float(found.high), reason=reason)


def _plan(patients: int, resamples: int, seed: int | np.random.Generator) -> np.ndarray:
    """How often each patient is drawn [1 + P + R, P]: the sample, the sample without each patient, the resamples."""
    drawn = np.random.default_rng(seed).integers(patients, size=(resamples, patients))
    places = drawn + patients * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * patients).reshape(resamples, patients)
    return np.concatenate([np.ones((1, patients)), 1 - np.eye(patients), counts])


def _resampled(patients: Sequence[str], statistic: Statistic, plan: np.ndarray) -> dict[str, np.ndarray]:
    """Every score on every row of the plan, a block of rows at a time."""
    _, place = np.unique(np.asarray(patients), return_inverse=True)
    blocks = np.array_split(plan, -(-len(plan) * len(place) // _CELLS))
    found = [statistic(block[:, place]) for block in blocks]
    return {name: np.concatenate([scores[name] for scores in found]) for name in found[0]}


def _interval(values: np.ndarray, patients: int, level: float, may_be_constant: bool = False) -> Interval:
    """The BCa interval from a score on each row of the plan."""
    value, without, drawn = values[0], values[1 : 1 + patients], values[1 + patients :]
    if np.isnan(value):
        return Interval(None, reason="the score is undefined on these patients")
    value = float(value)
    if patients < 2:
        return Interval(value, reason="one patient: nothing to resample")
    if np.isnan(without).any():
        return Interval(value, reason="the score rests on one patient, without whom it is undefined")
    defined = drawn[~np.isnan(drawn)]
    undefined = len(drawn) - len(defined)
    below, equal = (defined < value - _SAME).mean(), (np.abs(defined - value) <= _SAME).mean()
    if equal == 0 and below in (0, 1):
        return Interval(value, undefined=undefined, reason="all resamples lie to one side of the value")
    ends = np.quantile(defined, _bca_levels(below + equal / 2, without, level))
    low, high = min(float(ends[0]), value), max(float(ends[1]), value)
    if high - low <= _SAME and not may_be_constant:
        return Interval(value, undefined=undefined, reason=CONSTANT)
    return Interval(value, low, high, undefined)


def _bca_levels(below: float, without: np.ndarray, level: float) -> np.ndarray:
    """Quantiles of the resamples that the interval's ends are, [2].

    below: share of resamples under the value, ties by half; without: the score without each patient [P].
    """
    patients = len(without)
    # Wider by what a normal interval of a mean lacks in small samples: Student's t, and n - 1 for n.
    reach = stdtrit(patients - 1, (1 + level) / 2) * np.sqrt(patients / (patients - 1))
    bias = ndtri(below)
    pulls = without.mean() - without
    spread = (pulls**2).sum() ** 1.5
    acceleration = (pulls**3).sum() / (6 * spread) if spread > 0 else 0.0
    ends = bias + np.array([-reach, reach])
    return np.asarray(ndtr(bias + ends / (1 - acceleration * ends)))
