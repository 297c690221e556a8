"""From settings to parts: no patient on two sides, and no test patient near the encoder unless asked for."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from src.datasets import splits
from src.datasets.build import Parts, build_diagnoses, build_frames, build_regions, draw_splits
from src.datasets.torch_datasets import FrameDataset, as_input
from src.errors import UserError
from src.settings import ClassificationSettings, LatentSettings, SegmentationSettings

Folder = Any  # tests/conftest.py: DMRFolder
SIZE = (32, 40)
BUILDS: dict[str, Callable[..., Parts[Any]]] = {
    "latent": build_frames,
    "classification": build_diagnoses,
    "segmentation": build_regions,
}


def settings_for(task: str, data: Path, **more: Any) -> Any:
    common = {"dataset_path": data, "output_root": data.parent / "out", "image_size": SIZE, "learning_rate": 0.001}
    if task == "latent":
        return LatentSettings(**{"task": "latent", "modality": "heat"} | common | more)
    common |= {"encoder_modality": "heat", "decoder_modality": "heat"}
    if task == "classification":
        return ClassificationSettings(**{"task": "classification"} | common | more)
    return SegmentationSettings(**{"task": "segmentation", "class_weights": (1.0, 1.0, 1.0)} | common | more)


def build(task: str, data: Path, **more: Any) -> Parts[Any]:
    return BUILDS[task](settings_for(task, data, **more))


def patients(part: FrameDataset) -> set[str]:
    return set(part.patients)


@pytest.mark.parametrize("task", BUILDS)
def test_parts_are_disjoint_by_patient(cohort: Folder, task: str) -> None:
    for number in range(1, 22, 3):
        cohort.frame(f"{number:04d}", visit=2, snap=True)
    parts = build(task, cohort.root)
    sides = [patients(parts.train), patients(parts.validation), patients(parts.test)]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert sides[2] <= set(parts.split.test)
    assert sides[0] | sides[1] <= set(parts.split.rest)


def test_every_usable_patient_is_used(cohort: Folder) -> None:
    expected = {
        "latent": {f"{number:04d}" for number in range(1, 22)},
        "classification": {f"{number:04d}" for number in range(1, 21)},
        "segmentation": {f"{number:04d}" for number in range(1, 11)},
    }
    for task, usable in expected.items():
        parts = build(task, cohort.root)
        assert patients(parts.train) | patients(parts.validation) | patients(parts.test) == usable


def test_encoder_sees_no_test_patient(cohort: Folder) -> None:
    parts = build("latent", cohort.root)
    assert not (patients(parts.train) | patients(parts.validation)) & set(parts.split.test)
    assert patients(parts.test) == set(parts.split.test)


def test_the_published_split_of_regions_divides_frames(cohort: Folder) -> None:
    square = [[4, 4, 16, 4, 16, 16, 4, 16]]
    names = [f"T{number:04d}.{visit}.1.S.2012-10-0{visit}.00.jpg" for number in range(1, 6) for visit in (1, 2)]
    for number in range(1, 6):
        for snap in (False, True):
            cohort.frame(f"{number:04d}", visit=2, snap=snap)
    cohort.regions({name: [(1, square)] for name in names})
    found = []
    for modality in ("heat", "gray"):
        more = {"protocol": "published", "decoder_modality": modality, "encoder_modality": modality}
        settings = settings_for("segmentation", cohort.root, **more)
        parts = build_regions(settings)
        assert parts.split.unit == "frame"
        assert parts.split == draw_splits(settings)[0] == splits.load(settings.output_root / "split_segmentation.json")
        assert parts.validation.names == parts.test.names
        assert (len(parts.train), len(parts.test)) == (8, 2)
        assert not set(parts.train.names) & set(parts.test.names)
        assert patients(parts.train) & patients(parts.test)  # seed 2021: the other visit of a test patient
        parts.save_split(settings.output_root / "saved.json")
        again = build_regions(settings, settings.output_root / "saved.json")
        assert (again.train.names, again.test.names) == (parts.train.names, parts.test.names)
        found.append([frame.key for frame in parts.test.frames])
    assert found[0] == found[1]  # one drawing, one side
    assert not (settings.output_root / "split.json").exists()


def test_the_published_split_of_diagnoses_counts_the_modalitys_frames_of_the_diagnosed(cohort: Folder) -> None:
    for visit in range(2, 9):
        cohort.frame("0021", visit=visit, snap=True)  # the most, but without a diagnosis
        cohort.frame("0003", visit=visit, snap=True)
        cohort.frame("0004", visit=visit)
    tested = {}
    for modality in ("heat", "gray"):
        more = {"protocol": "published", "decoder_modality": modality, "encoder_modality": modality}
        parts = build_diagnoses(settings_for("classification", cohort.root, **more))
        tested[modality] = patients(parts.test)
        assert parts.split.unit == "patient"
        assert parts.validation.names == parts.test.names
        assert not patients(parts.train) & patients(parts.test)
        assert patients(parts.train) | patients(parts.test) == {f"{number:04d}" for number in range(1, 21)}
        assert len(tested[modality]) % 2 == 0
    # 20 folders of one frame but for one of eight: the first pair holds 9 of 27, a third.
    assert tested == {"heat": {"0003", "0001"}, "gray": {"0004", "0001"}}


def test_transductive_encoder_sees_test_patients(cohort: Folder) -> None:
    parts = build("latent", cohort.root, transductive=True)
    seen = patients(parts.train) | patients(parts.validation)
    assert set(parts.split.test) <= seen
    assert seen == {*parts.split.test, *parts.split.rest}
    assert not patients(parts.train) & patients(parts.validation)


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_transductive_does_not_concern_the_decoders(cohort: Folder, task: str) -> None:
    parts = build(task, cohort.root, transductive=True)
    assert not (patients(parts.train) | patients(parts.validation)) & set(parts.split.test)


@pytest.mark.parametrize("first", BUILDS)
def test_one_split_serves_three_tasks(cohort: Folder, first: str) -> None:
    split = build(first, cohort.root).split
    path = cohort.root.parent / "out" / "split.json"
    written = path.read_bytes()
    for task in BUILDS:
        for modality in ("gray", "heat"):
            key = "modality" if task == "latent" else "decoder_modality"
            assert build(task, cohort.root, **{key: modality}).split == split
    assert path.read_bytes() == written


def test_split_does_not_depend_on_the_task_that_draws_it(cohort: Folder) -> None:
    roots = {task: cohort.root.parent / f"out_{task}" for task in BUILDS}
    assert len({build(task, cohort.root, output_root=root).split for task, root in roots.items()}) == 1


def test_split_of_a_run_can_be_used_again(cohort: Folder) -> None:
    settings = settings_for("classification", cohort.root)
    parts = build_diagnoses(settings)
    path = cohort.root.parent / "run.json"
    parts.save_split(path)
    content = json.loads(path.read_text())
    assert content["train"] == sorted(patients(parts.train))
    assert content["validation"] == sorted(patients(parts.validation))
    assert content["tested"] == sorted(patients(parts.test))
    for name, part in (("train", parts.train), ("validation", parts.validation), ("test", parts.test)):
        counts = content["counts"][name]
        assert (counts["frames"], counts["patients"]) == (len(part), len(patients(part)))
        sick = {patient for patient, label in zip(part.patients, part.labels, strict=True) if label == 1}
        assert (counts["sick"], counts["healthy"]) == (len(sick), len(patients(part)) - len(sick))
    (cohort.root.parent / "out" / "split.json").unlink()
    again = build_diagnoses(settings, path)
    assert again.split == parts.split
    assert again.train.names == parts.train.names
    assert not (cohort.root.parent / "out" / "split.json").exists()


def test_saved_split_holds_whatever_the_labels_say_today(cohort: Folder, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_for("classification", cohort.root)
    parts = build_diagnoses(settings)
    path = cohort.root.parent / "run.json"
    parts.save_split(path)
    for number in range(1, 21):  # other diagnoses would draw other patients
        cohort.patient(f"{number:04d}", "Sick" if number < 4 else "Healthy")
    cohort.patient("0021", "Sick")
    lost = parts.train.patients[0]
    cohort.description(lost, "")
    again = build_diagnoses(settings, path)
    assert patients(again.train) == patients(parts.train) - {lost}
    assert again.validation.names == parts.validation.names
    assert again.test.names == parts.test.names
    assert f"usable patients that {path} does not know: 1 (" in caplog.text
    assert f"patients of {path} that can no longer be used: 1 (" in caplog.text


def test_saved_split_of_other_patients_is_an_error(cohort: Folder) -> None:
    parts = build("classification", cohort.root)
    path = cohort.root.parent / "run.json"
    parts.save_split(path)
    for patient in patients(parts.validation):
        cohort.description(patient, "")
    with pytest.raises(UserError, match=r"run\.json: none of its validation patients can be used"):
        build_diagnoses(settings_for("classification", cohort.root), path)


def test_test_set_is_stratified(cohort: Folder) -> None:
    parts = build("classification", cohort.root, test_ratio=0.4)
    sick = sum(int(patient) % 2 for patient in parts.split.test)
    annotated = sum(int(patient) <= 10 for patient in parts.split.test)
    assert len(parts.split.test) == 8
    assert sick == pytest.approx(4, abs=1)
    assert annotated == pytest.approx(4, abs=1)


def test_regions_only_from_annotated_frames(cohort: Folder) -> None:
    cohort.frame("0001", visit=2, snap=True)  # of an annotated patient, but not annotated itself
    parts = build("segmentation", cohort.root)
    names = [frame.name for part in (parts.train, parts.validation, parts.test) for frame in part.frames]
    assert sorted(names) == [f"T{number:04d}.1.1.S.2012-10-01.00" for number in range(1, 11)]
    batch = parts.train.everything()
    assert tuple(batch["target"].shape) == (len(parts.train), 3, *SIZE)
    expected = np.zeros((3, *SIZE))
    expected[0, 4:16, 4:16] = 1
    expected[2] = 1 - expected[0]
    assert_allclose(batch["target"][0], expected, atol=1e-6)


def test_a_damaged_frame_does_not_lend_its_regions_to_another_patient(
    cohort: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    names = {"0001": "img_snap.jpg", "0011": "img_snap.jpg", "0012": "own_snap.jpg"}
    for patient, name in names.items():
        frame = cohort.frame(patient, snap=True)
        frame.rename(frame.with_name(name))
    (cohort.root / "0011" / "img_snap.jpg").write_bytes(b"damaged")
    (cohort.root / "0012" / "own_snap.jpg").write_bytes(b"damaged")
    square = [[4, 4, 16, 4, 16, 16, 4, 16]]
    kept = {f"T{number:04d}.1.1.S.2012-10-01.00.jpg": [(1, square)] for number in range(2, 11)}
    cohort.regions(kept | {"0011/img.jpg": [(1, square)], "own.jpg": [(1, square)]})
    parts = build("segmentation", cohort.root, test_ratio=0.4)
    used = patients(parts.train) | patients(parts.validation) | patients(parts.test)
    assert used == {f"{number:04d}" for number in range(2, 11)}
    assert "annotated images whose frame cannot be decoded: 2 (" in caplog.text


def test_annotated_frames_that_a_run_does_not_ask_for_are_counted(
    cohort: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    side = cohort.frame("0011", view=2, snap=True)
    gray = cohort.frame("0012", visit=2)
    square = [[4, 4, 16, 4, 16, 16, 4, 16]]
    names = [f"T{number:04d}.1.1.S.2012-10-01.00.jpg" for number in range(1, 11)]
    annotated = [*names, side.name.replace("_snap", ""), gray.name]
    cohort.regions({name: [(1, square)] for name in annotated})
    build("segmentation", cohort.root, views=(1,))
    assert "annotated images whose frame is not of the modality and views asked for: 2 (" in caplog.text


@pytest.mark.parametrize("task", BUILDS)
def test_batches_hold_the_frames_of_their_patients(cohort: Folder, task: str) -> None:
    parts = build(task, cohort.root)
    for part in (parts.train, parts.validation, parts.test):
        batch = part.everything()
        levels = [40 + 7 * int(patient) % 200 for patient in part.patients]  # as the fixture writes them
        assert_allclose(batch["frame"].float().mean((1, 2, 3)), levels, atol=2)
        assert batch["index"].tolist() == list(range(len(part)))
        if task == "classification":
            assert batch["label"].tolist() == [int(patient) % 2 for patient in part.patients]
        inputs = as_input(batch["frame"])
        assert inputs.min() >= -1
        assert inputs.max() <= 1


def test_views_choose_frames(cohort: Folder) -> None:
    for number in range(1, 6):
        cohort.frame(f"{number:04d}", view=2, snap=True)
    parts = build("latent", cohort.root, views=(1,))
    assert {frame.view for part in (parts.train, parts.validation, parts.test) for frame in part.frames} == {1}
    with pytest.raises(UserError, match=r"none of 26 heat frames is of views \[9\]"):
        build("latent", cohort.root, views=(9,))


@pytest.mark.parametrize("task", BUILDS)
def test_only_the_patients_that_the_settings_name(cohort: Folder, task: str, caplog: pytest.LogCaptureFixture) -> None:
    named = tuple(f"{number:04d}" for number in (1, 2, 3, 4, 7, 8, 9, 10))
    with caplog.at_level("INFO"):
        parts = build(task, cohort.root, patients=named)
    assert "only the 8 patients that the settings name are used" in caplog.text
    assert patients(parts.train) | patients(parts.validation) | patients(parts.test) == set(named)
    assert {*parts.split.test, *parts.split.rest} == set(named)


def test_patients_can_be_part_of_a_split_of_all(cohort: Folder) -> None:
    split = build("latent", cohort.root).split
    named = (*split.test[:2], *split.rest[:6])
    parts = build("latent", cohort.root, patients=named)
    assert parts.split == split
    assert patients(parts.test) == set(split.test[:2])
    assert patients(parts.train) | patients(parts.validation) == set(split.rest[:6])


def test_unknown_patients_are_named(cohort: Folder) -> None:
    with pytest.raises(UserError, match=r"the setting 'patients' names 0666, 0777, of whom no frame is there"):
        build("classification", cohort.root, patients=("0001", "0777", "0666"))


def test_phantom_builds_all_three(phantom: Path, tmp_path: Path) -> None:
    weights = {"class_weights": (1.0,) * 8}
    for task in BUILDS:
        more = weights if task == "segmentation" else {}
        parts = build(task, phantom, output_root=tmp_path, image_size=None, **more)
        assert parts.train.image_size == (120, 160)
        assert not patients(parts.train) & patients(parts.test)


def test_errors_say_what_is_missing(cohort: Folder) -> None:
    def complaint(task: str, **more: Any) -> str:
        with pytest.raises(UserError) as caught:
            build(task, cohort.root, **more)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "'other': one of dmr is accepted" in complaint("latent", dataset_name="other")
    assert "annotation_file" in complaint("segmentation", annotation_file=Path("absent.json"))
    assert "8 weights for the 3 categories" in complaint("segmentation", class_weights=(1.0,) * 8)
    for number in range(1, 22):
        (cohort.root / f"{number:04d}" / "description.html").unlink()
    assert "no patient is diagnosed as Healthy or Sick" in complaint("classification")


@pytest.mark.parametrize("task", BUILDS)
def test_files_that_must_be_imported_first_are_told_how(tmp_path: Path, task: str) -> None:
    (tmp_path / "T0001.txt").write_text("30.1 30.2\n30.3 30.4\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"imported first: python -m src.datasets.prepare import {tmp_path} NEW_FOLDER"):
        build(task, tmp_path)


@pytest.mark.parametrize("task", ["latent", "classification"])
def test_annotations_that_cannot_be_used_stop_only_what_needs_them(
    cohort: Folder, caplog: pytest.LogCaptureFixture, task: str
) -> None:
    build(task, cohort.root, background="skin")
    assert any("no category is named 'skin'" in message for message in caplog.messages)
    with pytest.raises(UserError, match="no category is named 'skin'"):
        build("segmentation", cohort.root, background="skin")
    caplog.clear()
    build(task, cohort.root, annotation_file=Path("mistyped.json"))
    path = cohort.root / "mistyped.json"
    assert f"{path}: no annotation file there: no patient counts as annotated" in caplog.messages


def test_log_tells_sick_healthy_and_undiagnosed(cohort: Folder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    build("latent", cohort.root, test_ratio=0.5, train_val_ratio="5:5", transductive=True)
    parts = [message for message in caplog.messages if message.startswith(("train:", "validation:"))]
    counts = [[int(word) for word in re.findall(r"(\d+) (?:sick|healthy|undiagnosed)", part)] for part in parts]
    assert np.sum(counts, axis=0).tolist() == [10, 10, 1]


def test_too_few_patients_for_a_task(dmr: Folder) -> None:
    for number in range(1, 7):
        dmr.patient(f"{number:04d}", "Sick" if number == 1 else None)
    with pytest.raises(UserError, match="at least 1 test patient and 2 others are needed"):
        build("classification", dmr.root)


def test_one_diagnosis_only_says_which_scores_there_will_not_be(
    cohort: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        build("classification", cohort.root)
    assert "only one diagnosis" not in caplog.text
    for number in range(1, 21):
        cohort.description(f"{number:04d}", "Diagnosis: Healthy" if number in (1, 2) else "Diagnosis: Sick")
    (cohort.root.parent / "out" / "split.json").unlink()
    build("classification", cohort.root)
    assert "validation: only one diagnosis among its patients: scores that need both, such as AUC" in caplog.text


@pytest.mark.parametrize(("protocol", "begin"), [("holdout", "all"), ("kfold", "fold . of 2: all"), ("final", "all")])
def test_a_classifier_is_not_trained_on_one_diagnosis_alone(cohort: Folder, protocol: str, begin: str) -> None:
    for number in range(1, 21):
        cohort.description(
            f"{number:04d}", "Diagnosis: Healthy" if number == 1 and protocol == "kfold" else "Diagnosis: Sick"
        )
    settings = settings_for(
        "classification", cohort.root, protocol=protocol, **({"folds": 2} if protocol != "holdout" else {})
    )
    with pytest.raises(UserError, match=f"{begin} [0-9]+ training patients are sick: nothing to tell apart"):
        draw_splits(settings) if protocol == "kfold" else build_diagnoses(settings)
    assert not (cohort.root.parent / "out" / "split.json").exists()


def names_nobody_has(cohort: Folder, *mended: int) -> None:
    """An annotation file for patients 1 to 6 that only these of them have."""
    square = [[4, 4, 16, 4, 16, 16, 4, 16]]
    names = {
        f"T{number:04d}.1.1.S.2012-10-01.{'00' if number in mended else '77'}.jpg": number for number in range(1, 7)
    }
    cohort.regions({name: [(1, square if number % 2 else [])] for name, number in names.items()})


def test_a_run_that_cannot_begin_says_what_it_left_out_and_leaves_no_split(
    cohort: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    names_nobody_has(cohort)
    with pytest.raises(UserError, match="0 patients can be used"):
        build("segmentation", cohort.root)
    assert "annotated images without a frame of that name: 3 (" in caplog.text
    assert "annotations without a polygon or mask: 3 (" in caplog.text
    assert not (cohort.root.parent / "out" / "split.json").exists()
    names_nobody_has(cohort, 1, 3, 5)
    with pytest.raises(UserError, match=r"0 of them are test patients.* another seed or a larger test_ratio"):
        build("segmentation", cohort.root, test_ratio=0.1, seed=1)
    assert len(patients(build("segmentation", cohort.root, test_ratio=0.4, seed=1).test)) == 1


def test_the_name_that_was_expected_is_told(cohort: Folder, caplog: pytest.LogCaptureFixture) -> None:
    cohort.regions({"0003 first.jpg": [(1, [[4, 4, 16, 4, 16, 16, 4, 16]])]})
    with pytest.raises(UserError, match="0 patients can be used"):
        build("segmentation", cohort.root)
    assert any(
        re.fullmatch(
            r"annotated images that must be called as their frame, such as 0.*jpg, not 0003 first.jpg: 1 .*", line
        )
        for line in caplog.messages
    )


def test_a_region_without_a_pixel_is_named_with_its_frame(cohort: Folder, caplog: pytest.LogCaptureFixture) -> None:
    square = [[4, 4, 16, 4, 16, 16, 4, 16]]
    outside, tiny = [[41, 4, 45, 4, 45, 9]], [[4.1, 4.1, 4.2, 4.1, 4.2, 4.2]]
    lost = {1: [(1, square), (2, square)], 2: [(1, square), (2, outside)], 3: [(1, square), (2, tiny)]}
    shapes = {number: lost.get(number, [(1, square)]) for number in range(1, 11)}
    cohort.regions({f"T{number:04d}.1.1.S.2012-10-01.00.jpg": found for number, found in shapes.items()})
    with caplog.at_level(logging.DEBUG):
        build("segmentation", cohort.root)
    (line,) = [text for text in caplog.messages if text.startswith("regions of which no pixel")]
    assert re.findall(r"T(000\d)[^:]*: (\w+)", line) == [
        ("0001", "left_breast"),
        ("0002", "right_breast"),
        ("0003", "right_breast"),
    ]


def test_regions_drawn_on_a_picture_of_another_aspect_are_left_out(
    cohort: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    square = [[4, 4, 16, 4, 16, 16, 4, 16]]
    cohort.regions({f"T{number:04d}.1.1.S.2012-10-01.00.jpg": [(1, square)] for number in range(1, 11)})
    path = cohort.root / "52_instances_default.json"
    content = json.loads(path.read_text())
    image = content["images"][0]
    image["height"], image["width"] = image["width"], image["height"]  # annotated before a viewer turned it
    path.write_text(json.dumps(content))
    with caplog.at_level(logging.DEBUG):
        parts = build("segmentation", cohort.root)
    assert "annotated images of another aspect than their frame: 1 (" in caplog.text
    assert f"{image['file_name']}: {image['width']} x {image['height']}, not" in caplog.text
    assert len({*patients(parts.train), *patients(parts.validation), *patients(parts.test)}) == 9


def test_a_split_of_earlier_annotations_is_named(cohort: Folder) -> None:
    build("latent", cohort.root)
    names_nobody_has(cohort)
    with pytest.raises(UserError, match=r"out/split.json was drawn before: .* delete it"):
        build("segmentation", cohort.root)


@pytest.mark.parametrize(("task", "protocol"), [("segmentation", "kfold"), ("classification", "published")])
def test_trials_that_cannot_be_trained_are_refused_before_the_first(
    cohort: Folder, caplog: pytest.LogCaptureFixture, task: str, protocol: str
) -> None:
    names_nobody_has(cohort, 1, 3, 5)
    for number in range(3, 21):
        cohort.description(f"{number:04d}", "Diagnosis: unknown")
    with pytest.raises(UserError, match="test patients; at least 1 test patient and 2 others"):
        draw_splits(settings_for(task, cohort.root, protocol=protocol, folds=4))
    segments = task == "segmentation"
    assert (
        "annotations without a polygon or mask: 3 (" if segments else "patients whose diagnosis is 'unknown': 19 ("
    ) in caplog.text
    assert not list(cohort.root.parent.glob("out/**/split*.json"))
