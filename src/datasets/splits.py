"""Who is trained on, chosen on, and tested on: by patient, stratified, seeded, written to disk.

The published code's divisions, which are none of that, are here by name.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from src.datasets.source import Unit
from src.errors import UserError, some
from src.files import alone_in, composed, read_json, write_json

logger = logging.getLogger(__name__)

Strata = Mapping[str, Hashable]
"""Stratum of each patient, such as (diagnosis, annotated)."""
T = TypeVar("T")
Name = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(composed)]
Groups = tuple[tuple[Name, ...], ...]
"""Patients who must stay on one side of every division, because they share a frame."""


@dataclass(frozen=True)
class Split:
    """The one division of a data folder that all runs below an output root share."""

    seed: int
    test_ratio: float
    test: tuple[Name, ...]
    rest: tuple[Name, ...]
    groups: Groups = ()
    unit: Unit = "patient"
    """What `test` and `rest` name, and a run's division of them."""


@dataclass(frozen=True)
class Division:
    """One run's own division of the patients it can use; `train` and `validation` have no patient in common."""

    train: tuple[Name, ...]
    validation: tuple[Name, ...]
    tested: tuple[Name, ...]


def connected(pairs: Iterable[tuple[str, str]]) -> Groups:
    """The groups of patients that pairs join, directly or through others; sorted."""
    group_of: dict[str, set[str]] = {}
    for one, other in pairs:
        joined = group_of.get(one, {one}) | group_of.get(other, {other})
        group_of.update(dict.fromkeys(joined, joined))
    return tuple(sorted({tuple(sorted(group)) for group in group_of.values()}))


def stratified_sample(strata: Strata, share: float, seed: int, groups: Groups = ()) -> list[str]:
    """Draw a share of the patients, the same share of each stratum as far as whole groups allow; sorted.

    A group is drawn whole or not at all, only where each stratum still needs as many as the group has; a stratum with
    enough patients outside groups gets exactly its part. At least one patient is drawn and at least one left
    (ValueError where that cannot be). The outcome depends on the patients, their strata, the groups and the seed, not
    on any order.
    """
    unit_of = {patient: unit for unit in _units(strata, groups) for patient in unit}
    if len(set(unit_of.values())) < 2:
        raise ValueError(f"{len(strata)} patients in {len(set(unit_of.values()))} groups cannot be divided")
    rng = np.random.default_rng(seed)
    of_stratum = _by_stratum(strata)
    wanted = _quotas({name: len(patients) for name, patients in of_stratum.items()}, share)
    order = [patient for name in sorted(of_stratum) for patient in _shuffled(of_stratum[name], rng)]
    units = list(dict.fromkeys(unit_of[patient] for patient in order))
    drawn: list[str] = []
    for unit in units:
        needed = Counter(repr(strata[patient]) for patient in unit)
        if all(wanted[name] >= count for name, count in needed.items()):
            drawn += unit
            wanted = {name: count - needed[name] for name, count in wanted.items()}
    if not drawn:  # no unit is small enough
        units.sort(key=len)
        drawn += units[0]
    return sorted(drawn)


def ordered_sample(strata: Strata, count: int, seed: int) -> list[str]:
    """The first `count` patients of an order that the seed draws, so that fewer are always among more.

    Every beginning of the order has about the same share of each stratum.
    """
    rng = np.random.default_rng(seed)
    of_stratum = _by_stratum(strata)
    ranked: list[tuple[float, str, str]] = []
    for name in sorted(of_stratum):
        shuffled = _shuffled(of_stratum[name], rng)
        ranked += [((rank + 0.5) / len(shuffled), name, patient) for rank, patient in enumerate(shuffled)]
    return [patient for _, _, patient in sorted(ranked)[:count]]


def _by_stratum(strata: Strata) -> dict[str, list[str]]:
    """The patients of each stratum, sorted."""
    found: dict[str, list[str]] = {}
    for patient in sorted(strata):
        found.setdefault(repr(strata[patient]), []).append(patient)
    return found


def folds(strata: Strata, count: int, seed: int, groups: Groups = ()) -> list[list[str]]:
    """Deal the patients into so many test sets, each stratified, each patient in exactly one, groups kept together.

    Large groups are dealt first, and of equal ones those of annotated patients (whose stratum is a tuple that ends in
    True). Those go where the fewest annotated ones are, all others where their stratum is rarest, then each part of it,
    then where the fewest patients are: annotated patients are spread evenly, and so are sick ones, whichever are both.
    Raises ValueError where there are fewer groups than folds.
    """
    units = _units(strata, groups)
    if len(units) < count:
        raise ValueError(f"{len(strata)} patients in {len(units)} groups cannot be dealt into {count} folds")
    rng = np.random.default_rng(seed)
    shuffled = [units[place] for place in rng.permutation(len(units))]
    traits = {patient: _traits(stratum) for patient, stratum in strata.items()}
    shuffled.sort(key=lambda unit: (-len(unit), traits[unit[0]][0] != _ANNOTATED, repr(strata[unit[0]])))
    dealt: list[list[str]] = [[] for _ in range(count)]
    held: list[Counter[Hashable]] = [Counter() for _ in range(count)]
    for unit in shuffled:
        columns = list(zip(*(traits[patient] for patient in unit), strict=True))
        alike = [[sum(map(already.__getitem__, column)) for column in columns] for already in held]
        place = min(range(count), key=lambda k: (alike[k], len(dealt[k]), k))
        dealt[place] += unit
        held[place].update(trait for column in columns for trait in column)
    return [sorted(fold) for fold in dealt]


_ANNOTATED = "annotated"


def _traits(stratum: Hashable) -> tuple[Hashable, ...]:
    """What patients are counted by, what matters most first: annotated or not, the stratum, and each of its parts."""
    parts = stratum if isinstance(stratum, tuple) else ()
    annotated = bool(parts) and parts[-1] is True
    named = ((f"part {place}", part) for place, part in enumerate(parts))  # never equal to a stratum
    return (_ANNOTATED if annotated else stratum, stratum, *named)


def _units(strata: Strata, groups: Groups) -> list[tuple[str, ...]]:
    """What is drawn whole: the groups, of the patients that there are, and every other patient alone; sorted."""
    unit_of: dict[str, tuple[str, ...]] = {patient: (patient,) for patient in strata}
    for group in groups:
        present = tuple(sorted(patient for patient in group if patient in strata))
        unit_of |= dict.fromkeys(present, present)
    return sorted(set(unit_of.values()))


def largest_and_smallest(frames: Mapping[str, int], share: float) -> list[str]:
    """Pairs of the patients with most and with fewest frames until they have a share of all frames; sorted.

    frames: how many each patient has; of equal ones the names decide. At least one patient is left, so that of fewer
    than three none is taken. Source: the published code of arXiv 2404.06589, which takes folders this way.
    """
    ordered = sorted(frames, key=lambda patient: (frames[patient], patient))
    total, taken = sum(frames.values()), list[str]()
    while len(ordered) > 2 and sum(frames[patient] for patient in taken) < share * total:
        taken += [ordered.pop(), ordered.pop(0)]
    return sorted(taken)


def random_share(units: Iterable[str], share: float, seed: int) -> list[str]:
    """A share of the units drawn at random, whoever they are of, at least one and at most all but one; sorted.

    Of fewer than two none is drawn. Source: the published code of arXiv 2404.06589, which divides annotated frames so.
    """
    ordered = sorted(set(units))
    if len(ordered) < 2:
        return []
    count = min(max(round(share * len(ordered)), 1), len(ordered) - 1)
    return sorted(_shuffled(ordered, np.random.default_rng(seed))[:count])


def _shuffled(names: Sequence[str], rng: np.random.Generator) -> list[str]:
    """The names in a drawn order; an array of theirs would lose a NUL at the end of one."""
    return [names[place] for place in rng.permutation(len(names))]


def _quotas(sizes: Mapping[str, int], share: float) -> dict[str, int]:
    """How many patients of each stratum make up the share of all, at least one and at most all but one in sum."""
    everyone = sum(sizes.values())
    total = min(max(round(share * everyone), 1), everyone - 1)
    names = sorted(sizes)
    exact = np.array([sizes[name] * total / everyone for name in names])
    counts = np.floor(exact).astype(int)
    # Largest remainders get the patients that rounding down left over; among equal ones the larger stratum.
    order = sorted(range(len(names)), key=lambda k: (counts[k] - exact[k], -sizes[names[k]], names[k]))
    for k in order[: total - int(counts.sum())]:
        counts[k] += 1
    return dict(zip(names, counts.tolist(), strict=True))


def load_or_draw(
    path: Path,
    strata: Strata,
    test_ratio: float,
    seed: int,
    groups: Groups = (),
    check: Callable[[Split], object] | None = None,
) -> Split:
    """The split saved at `path` with its own groups, or a new one that keeps these groups together, saved there.

    A new one is saved only once `check` let it pass, so that a run that cannot use it leaves none behind.

    Raises `UserError` if the saved one was drawn otherwise or does not know a patient: a split that changed under the
    runs that share it would let test patients into training.
    """
    if not path.exists():
        if len(strata) < 3:
            raise UserError(f"a split needs at least 3 patients with frames, there are {len(strata)}")
        try:
            test = stratified_sample(strata, test_ratio, seed, groups)
        except ValueError as error:
            raise UserError(f"no split: {error}; patients of a group share frames, see the warnings above") from None
        drawn = Split(seed, test_ratio, tuple(test), tuple(sorted(set(strata) - set(test))), groups)
        if check is not None:
            check(drawn)
        with alone_in(path.parent):
            if not path.exists():  # another run may have drawn one just now
                save(path, drawn)
                logger.info("drew a split: %d test patients of %d, saved as %s", len(test), len(strata), path)
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
            f"{path}: does not know {len(unknown)} {split.unit}s of the data folder ({some(unknown)}); use another "
            "output_root, or delete the file and every run beside it"
        )
    absent = sorted(known - set(strata))
    if absent:
        found = f"{split.unit}s of the split that are not among those of this run: {len(absent)} ({some(absent)})"
        logger.warning("%s", found)
    return split


def load(path: Path) -> Split:
    """Read a saved split; `UserError` if it is damaged or has a patient, or a group of them, on both sides."""
    content = read_json(path, "the patient split")
    split = _validated(content, Split, f"{path}: no patient split")
    both = sorted(set(split.test) & set(split.rest))
    if both:
        raise UserError(f"{path}: {split.unit}s on both sides of the split: {some(both)}")
    for group in split.groups:
        if set(group) & set(split.test) and set(group) & set(split.rest):
            raise UserError(f"{path}: patients who share frames are on both sides of the split: {some(group)}")
    if "groups" not in content:
        logger.warning("%s: was drawn before patients who share frames were looked for; nothing is known of them", path)
    return split


def load_division(path: Path) -> Division:
    """Read what `save` added to a run's copy of the split; `UserError` if it is damaged or trains on validation."""
    division = _validated(read_json(path, "the patient split"), Division, f"{path}: no division of a run")
    both = sorted(set(division.train) & set(division.validation))
    if both:
        raise UserError(f"{path}: patients both in train and in validation: {some(both)}")
    return division


def _validated(content: Any, kind: type[T], refusal: str) -> T:
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        wrong = error.errors()[0]
        said = wrong["msg"].lower().replace("tuple", "list")  # as JSON has it
        raise UserError(": ".join([refusal, *map(str, wrong["loc"]), said])) from None


def save(
    path: Path, split: Split, division: Division | None = None, counts: Mapping[str, Mapping[str, int]] | None = None
) -> None:
    """Write a split, and beside it one run's division, and how much is in each part, for people and the report."""
    write_json(path, asdict(split) | (asdict(division) if division else {}) | ({"counts": counts} if counts else {}))
