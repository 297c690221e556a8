"""Which patients are trained on, chosen on, and tested on: by patient, stratified, seeded, written to disk."""

import logging
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from src.errors import UserError
from src.files import read_json, write_json

logger = logging.getLogger(__name__)

Strata = Mapping[str, Hashable]
"""Stratum of each patient, such as (diagnosis, annotated)."""


@dataclass(frozen=True)
class Split:
    """The one division of a data folder that all runs below an output root share."""

    seed: int
    test_ratio: float
    test: tuple[str, ...]
    rest: tuple[str, ...]


@dataclass(frozen=True)
class Division:
    """One run's own division of the patients it can use; `train` and `validation` have no patient in common."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    tested: tuple[str, ...]


def stratified_sample(strata: Strata, share: float, seed: int) -> list[str]:
    """Draw a share of the patients, the same share of each stratum as far as whole patients allow; sorted.

    At least one patient is drawn and at least one left, so two are needed (ValueError). The outcome depends on the
    patients, their strata and the seed, not on their order.
    """
    if len(strata) < 2:
        raise ValueError(f"{len(strata)} patients cannot be divided")
    rng = np.random.default_rng(seed)
    groups: dict[str, list[str]] = {}
    for patient in sorted(strata):
        groups.setdefault(repr(strata[patient]), []).append(patient)
    total = min(max(round(share * len(strata)), 1), len(strata) - 1)
    names = sorted(groups)
    exact = np.array([len(groups[name]) * total / len(strata) for name in names])
    counts = np.floor(exact).astype(int)
    # Largest remainders get the patients that rounding down left over; among equal ones the larger stratum.
    order = sorted(range(len(names)), key=lambda k: (counts[k] - exact[k], -len(groups[names[k]]), names[k]))
    for k in order[: total - int(counts.sum())]:
        counts[k] += 1
    drawn = [rng.permutation(groups[name])[:count].tolist() for name, count in zip(names, counts, strict=True)]
    return sorted(patient for group in drawn for patient in group)


def load_or_draw(path: Path, strata: Strata, test_ratio: float, seed: int) -> Split:
    """The split saved at `path`, or a new one saved there.

    Raises `UserError` if the saved one was drawn otherwise or does not know a patient: a split that changed under the
    runs that share it would let test patients into training.
    """
    if not path.exists():
        if len(strata) < 3:
            raise UserError(f"a split needs at least 3 patients with frames, there are {len(strata)}")
        test = stratified_sample(strata, test_ratio, seed)
        split = Split(seed, test_ratio, tuple(test), tuple(sorted(set(strata) - set(test))))
        save(path, split)
        logger.info("drew a split: %d test patients of %d, saved as %s", len(test), len(strata), path)
        return split
    split = load(path)
    if (split.seed, split.test_ratio) != (seed, test_ratio):
        raise UserError(
            f"{path}: was drawn with seed {split.seed} and test_ratio {split.test_ratio}, the settings say {seed} and "
            f"{test_ratio}; use another output_root, or delete the file and every run beside it"
        )
    known = {*split.test, *split.rest}
    unknown = sorted(set(strata) - known)
    if unknown:
        raise UserError(
            f"{path}: does not know {len(unknown)} patients of the data folder ({_some(unknown)}); use another "
            "output_root, or delete the file and every run beside it"
        )
    absent = sorted(known - set(strata))
    if absent:
        logger.warning("patients of the split that are not in the data folder: %d (%s)", len(absent), _some(absent))
    return split


def load(path: Path) -> Split:
    """Read a saved split; `UserError` if it is damaged or lists a patient on both sides."""
    content = read_json(path, "the patient split")
    try:
        test, rest = (tuple(str(patient) for patient in content[key]) for key in ("test", "rest"))
        split = Split(int(content["seed"]), float(content["test_ratio"]), test, rest)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: no patient split: {error!r}") from None
    both = sorted(set(split.test) & set(split.rest))
    if both:
        raise UserError(f"{path}: patients on both sides of the split: {_some(both)}")
    return split


def load_division(path: Path) -> Division:
    """Read what `save` added to a run's copy of the split; `UserError` if it is damaged or trains on validation."""
    content = read_json(path, "the patient split")
    try:
        division = Division(*(tuple(str(patient) for patient in content[field.name]) for field in fields(Division)))
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: no division of a run: {error!r}") from None
    both = sorted(set(division.train) & set(division.validation))
    if both:
        raise UserError(f"{path}: patients both in train and in validation: {_some(both)}")
    return division


def save(path: Path, split: Split, division: Division | None = None) -> None:
    """Write a split, and beside it one run's division."""
    write_json(path, asdict(split) | (asdict(division) if division else {}))


def _some(patients: list[str], limit: int = 5) -> str:
    return ", ".join(patients[:limit]) + (" ..." if len(patients) > limit else "")
