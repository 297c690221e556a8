"""Splits: by patient, stratified, the same for every run that shares an output root."""

import json
import logging
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.datasets.splits import (
    Division,
    Groups,
    Split,
    connected,
    folds,
    largest_and_smallest,
    load,
    load_division,
    load_or_draw,
    ordered_sample,
    random_share,
    save,
    stratified_sample,
)
from src.errors import UserError

COHORTS = st.dictionaries(
    st.text("0123456789", min_size=1, max_size=4),
    st.tuples(st.sampled_from([0, 1, None]), st.booleans()),
    min_size=2,
    max_size=60,
)
SHARES = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**32 - 1)


@given(strata=COHORTS, share=SHARES, seed=SEEDS)
def test_each_stratum_is_within_one_patient_of_its_share(
    strata: dict[str, tuple[int | None, bool]], share: float, seed: int
) -> None:
    drawn = stratified_sample(strata, share, seed)
    assert drawn == sorted(set(drawn))
    assert set(drawn) <= set(strata)
    assert 1 <= len(drawn) < len(strata)
    total = min(max(round(share * len(strata)), 1), len(strata) - 1)
    assert len(drawn) == total
    for stratum in set(strata.values()):
        patients = {patient for patient in strata if strata[patient] == stratum}
        exact = len(patients) * total / len(strata)
        assert abs(len(patients & set(drawn)) - exact) < 1


@given(strata=COHORTS, seed=SEEDS, counts=st.lists(st.integers(0, 60), min_size=2, max_size=2))
def test_fewer_patients_are_among_more_and_strata_keep_their_share(
    strata: dict[str, tuple[int | None, bool]], seed: int, counts: list[int]
) -> None:
    few, more = (ordered_sample(strata, count, seed) for count in sorted(counts))
    assert more[: len(few)] == few
    assert len(set(more)) == len(more) == min(max(counts), len(strata))
    for stratum in set(strata.values()):
        patients = {patient for patient in strata if strata[patient] == stratum}
        exact = len(patients) * len(more) / len(strata)
        assert abs(len(patients & set(more)) - exact) <= len(set(strata.values())) / 2 + 1


@given(strata=COHORTS, share=SHARES, seed=SEEDS, shuffle=st.randoms())
def test_order_of_the_patients_does_not_matter(
    strata: dict[str, tuple[int | None, bool]], share: float, seed: int, shuffle: random.Random
) -> None:
    items = list(strata.items())
    shuffle.shuffle(items)
    assert stratified_sample(dict(items), share, seed) == stratified_sample(strata, share, seed)


@given(strata=COHORTS.filter(lambda strata: len(strata) > 2), ratio=SHARES, seed=SEEDS)
def test_both_sides_are_disjoint_and_complete(
    strata: dict[str, tuple[int | None, bool]],
    ratio: float,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "drawn_split.json"
    path.unlink(missing_ok=True)
    split = load_or_draw(path, strata, ratio, seed)
    assert not set(split.test) & set(split.rest)
    assert {*split.test, *split.rest} == set(strata)
    assert load(path) == split


@st.composite
def grouped_cohorts(draw: st.DrawFn) -> tuple[dict[str, tuple[int | None, bool]], Groups]:
    strata = draw(COHORTS)
    patient = st.sampled_from(sorted(strata))
    return strata, connected(draw(st.lists(st.tuples(patient, patient), max_size=20)))


@settings(max_examples=60)
@given(cohort=grouped_cohorts(), share=SHARES, seed=SEEDS, shuffle=st.randoms())
def test_groups_are_drawn_whole_and_strata_keep_their_share(
    cohort: tuple[dict[str, tuple[int | None, bool]], Groups], share: float, seed: int, shuffle: random.Random
) -> None:
    strata, groups = cohort
    if groups == (tuple(sorted(strata)),):
        with pytest.raises(ValueError, match="cannot be divided"):
            stratified_sample(strata, share, seed, groups)
        return
    drawn = set(stratified_sample(strata, share, seed, groups))
    assert all(drawn.issuperset(group) or drawn.isdisjoint(group) for group in groups)
    assert drawn <= set(strata)
    assert 1 <= len(drawn) < len(strata)
    alone = {patient: stratum for patient, stratum in strata.items() if not any(patient in group for group in groups)}
    exact = set(stratified_sample(strata, share, seed))
    for stratum in set(strata.values()):
        wanted = sum(strata[patient] == stratum for patient in exact)
        found = sum(strata[patient] == stratum for patient in drawn)
        # Nothing but a smallest group that is larger than the part may exceed a part.
        assert found <= wanted or any(drawn == set(group) for group in groups) or len(drawn) == 1
        if list(alone.values()).count(stratum) >= wanted:
            assert found >= wanted
    items, mixed = list(strata.items()), [tuple(shuffle.sample(group, len(group))) for group in groups]
    shuffle.shuffle(items)
    shuffle.shuffle(mixed)
    assert set(stratified_sample(dict(items), share, seed, tuple(mixed))) == drawn


@given(strata=COHORTS, share=SHARES, seed=SEEDS)
def test_groups_of_absent_patients_change_nothing(
    strata: dict[str, tuple[int | None, bool]], share: float, seed: int
) -> None:
    one = sorted(strata)[0]
    assert stratified_sample(strata, share, seed, ((one, "absent"), ("gone",))) == stratified_sample(
        strata, share, seed
    )


@given(pairs=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"))))
def test_connected_against_walking_along_the_pairs(pairs: list[tuple[str, str]]) -> None:
    def reached(patient: str) -> tuple[str, ...]:
        seen = {patient}
        for _ in range(len(pairs)):
            seen |= {name for pair in pairs if seen & set(pair) for name in pair}
        return tuple(sorted(seen))

    assert connected(pairs) == tuple(sorted({reached(patient) for pair in pairs for patient in pair}))


def test_seed_matters() -> None:
    strata = {f"{number:04d}": number % 2 for number in range(40)}
    assert len({tuple(stratified_sample(strata, 0.2, seed)) for seed in range(10)}) > 5


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_to_divide(count: int) -> None:
    with pytest.raises(ValueError, match="cannot be divided"):
        stratified_sample({str(number): 0 for number in range(count)}, 0.5, 0)


COHORT = {f"{number:04d}": number % 2 for number in range(10)}


def test_saved_split_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    first = load_or_draw(path, COHORT, 0.2, 1)
    written = path.read_bytes()
    assert load_or_draw(path, COHORT, 0.2, 1) == first
    # Labels that came later do not move anybody.
    assert load_or_draw(path, dict.fromkeys(COHORT, 7), 0.2, 1) == first
    assert path.read_bytes() == written


def test_edited_split_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    content = {"seed": 1, "test_ratio": 0.2, "test": ["0009"], "rest": sorted(set(COHORT) - {"0009"})}
    path.write_text(json.dumps(content))
    assert load_or_draw(path, COHORT, 0.2, 1).test == ("0009",)


@pytest.mark.parametrize(("ratio", "seed"), [(0.2, 2), (0.3, 1)])
def test_other_seed_or_ratio_is_refused(tmp_path: Path, ratio: float, seed: int) -> None:
    path = tmp_path / "split.json"
    load_or_draw(path, COHORT, 0.2, 1)
    with pytest.raises(UserError, match=f"seed 1 and test_ratio 0.2, the settings say {seed} and {ratio}") as caught:
        load_or_draw(path, COHORT, ratio, seed)
    assert str(path) in str(caught.value)


def test_unknown_patient_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    load_or_draw(path, COHORT, 0.2, 1)
    with pytest.raises(UserError, match=r"does not know 1 patients of the data folder .0042."):
        load_or_draw(path, {**COHORT, "0042": 0}, 0.2, 1)


def test_absent_patient_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "split.json"
    split = load_or_draw(path, COHORT, 0.2, 1)
    with caplog.at_level(logging.WARNING):
        assert load_or_draw(path, {name: 0 for name in COHORT if name != "0003"}, 0.2, 1) == split
    assert "0003" in caplog.text


def test_patient_on_both_sides_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    split = load_or_draw(path, COHORT, 0.2, 1)
    content = json.loads(path.read_text())
    content["rest"].append(split.test[0])
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"both sides of the split: {split.test[0]}"):
        load_or_draw(path, COHORT, 0.2, 1)


def test_saved_split_keeps_its_groups_and_refuses_one_torn_apart(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    groups = (("0001", "0004", "0007"),)
    split = load_or_draw(path, COHORT, 0.4, 1, groups)
    assert load_or_draw(path, COHORT, 0.4, 1).groups == split.groups == groups
    content = json.loads(path.read_text())
    content["groups"] = [[split.test[0], split.rest[0]]]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="share frames are on both sides"):
        load_or_draw(path, COHORT, 0.4, 1)


def test_patients_who_all_share_frames_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="10 patients in 1 groups cannot be divided"):
        load_or_draw(tmp_path / "split.json", COHORT, 0.4, 1, (tuple(COHORT),))
    assert not (tmp_path / "split.json").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"seed": 1, "test_ratio": 0.2, "test": 3, "rest": []}',
        '{"seed": Infinity, "test_ratio": 0.2, "test": ["0001"], "rest": ["0002"]}',
        '{"seed": 1, "test_ratio": 1' + "0" * 400 + ', "test": ["0001"], "rest": ["0002"]}',
        '{"seed": 1, "test_ratio": 0.2, "test": "0001", "rest": ["0002"]}',
        '{"seed": 1, "test_ratio": 0.2, "test": ["0001"], "rest": ["0002"], "groups": ["0001"]}',
        "[" * 100_000,
    ],
)
def test_damaged_split_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_or_draw(path, COHORT, 0.2, 1)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_three_patients_are_needed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 3 patients"):
        load_or_draw(tmp_path / "split.json", {"a": 0, "b": 1}, 0.5, 0)
    assert not (tmp_path / "split.json").exists()


def test_division_of_a_run_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    split = load_or_draw(tmp_path / "split.json", COHORT, 0.2, 1)
    division = Division(("0001",), ("0002",), ("0003",))
    save(path, split, division)
    assert (load(path), load_division(path)) == (split, division)
    with pytest.raises(UserError, match=r"split\.json: no division of a run: train: field required"):
        load_division(tmp_path / "split.json")
    save(path, split, Division(("0001",), ("0002", "0001"), ("0003",)))
    with pytest.raises(UserError, match="both in train and in validation: 0001"):
        load_division(path)


def test_a_split_from_before_groups_still_loads_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "split.json"
    split = load_or_draw(path, COHORT, 0.2, 1)
    content = json.loads(path.read_text())
    del content["groups"]
    path.write_text(json.dumps(content))
    assert load_or_draw(path, COHORT, 0.2, 1) == split
    assert f"{path}: was drawn before patients who share frames were looked for" in caplog.text


@settings(max_examples=60)
@given(st.integers(2, 6), st.integers(0, 99), st.integers(0, 4), st.data())
def test_folds_deal_every_patient_once_and_keep_strata_and_groups(
    count: int, seed: int, pairs: int, data: st.DataObject
) -> None:
    patients = [f"{number:04d}" for number in range(data.draw(st.integers(30, 60)))]
    strata = {patient: data.draw(st.sampled_from(["healthy", "sick"])) for patient in patients}
    groups = tuple((patients[2 * k], patients[2 * k + 1]) for k in range(pairs))
    dealt = folds(strata, count, seed, groups)
    assert sorted(patient for fold in dealt for patient in fold) == patients
    assert len(dealt) == count
    for fold in dealt:
        assert all(len(set(group) & set(fold)) in (0, len(group)) for group in groups)
        # Groups of two may outweigh one stratum in a fold.
        for stratum in ("healthy", "sick"):
            size = sum(value == stratum for value in strata.values())
            assert abs(sum(strata[patient] == stratum for patient in fold) - size / count) <= 1 + pairs


@settings(max_examples=60)
@given(st.integers(2, 6), SEEDS, COHORTS.filter(lambda strata: len(strata) >= 6))
def test_every_fold_has_its_part_of_the_annotated_and_of_the_sick(
    count: int, seed: int, strata: dict[str, tuple[int | None, bool]]
) -> None:
    dealt = folds(strata, count, seed)
    annotated = [sum(strata[patient][1] for patient in fold) for fold in dealt]
    sick = [sum(strata[patient][0] == 1 for patient in fold) for fold in dealt]
    assert max(annotated) - min(annotated) <= 1
    assert max(sick) - min(sick) <= 1


def test_folds_need_as_many_patients() -> None:
    with pytest.raises(ValueError, match="cannot be dealt"):
        folds(dict.fromkeys("abc", 0), 4, 1)


@given(st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 20), max_size=30), SHARES)
def test_largest_and_smallest_folders_are_taken_in_pairs(frames: dict[str, int], share: float) -> None:
    taken = largest_and_smallest(frames, share)
    assert taken == sorted(set(taken)) == largest_and_smallest(dict(reversed(frames.items())), share)
    pairs, odd = divmod(len(taken), 2)
    assert odd == 0
    ordered = sorted(frames, key=lambda name: (frames[name], name))
    assert set(taken) == {*ordered[:pairs], *ordered[len(ordered) - pairs :]}
    total = sum(frames.values())
    left = len(frames) - len(taken)
    assert left <= 2 or sum(frames[name] for name in taken) >= share * total
    if taken:  # one pair fewer would not do
        assert left >= 1
        inner = (ordered[pairs - 1], ordered[len(ordered) - pairs])
        assert sum(frames[name] for name in taken if name not in inner) < share * total


@given(st.lists(st.text(min_size=1, max_size=4), max_size=30), SHARES, SEEDS)
def test_a_random_share_is_of_its_size_whatever_the_order(units: list[str], share: float, seed: int) -> None:
    drawn = random_share(units, share, seed)
    count = len(set(units))
    assert drawn == sorted(set(drawn)) == random_share(reversed(units), share, seed)
    assert set(drawn) <= set(units)
    assert len(drawn) == (0 if count < 2 else min(max(round(share * count), 1), count - 1))


def test_every_unit_is_drawn_by_some_seed_about_as_often_as_any() -> None:
    drawn = [name for seed in range(500) for name in random_share("abcdefghij", 0.2, seed)]
    assert all(abs(drawn.count(name) - 100) < 50 for name in "abcdefghij")  # five standard deviations are 45


def test_a_split_of_frames_says_so_in_its_file(tmp_path: Path) -> None:
    split = Split(1, 0.2, ("1:1/a",), ("1:1/b", "2:2/c"), unit="frame")
    save(tmp_path / "split_segmentation.json", split)
    assert load(tmp_path / "split_segmentation.json") == split
    save(tmp_path / "split.json", replace(split, unit="other"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"no patient split: unit: input should be 'patient' or 'frame'"):
        load(tmp_path / "split.json")
