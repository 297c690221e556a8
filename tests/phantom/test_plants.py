"""Planted shortcuts: each is in the frames of one diagnosis, and nothing else about the phantom changes."""

import json
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from src.audit.traits import pixel_traits
from src.errors import UserError
from src.phantom.dataset import FIRST_DAY, LAST_DAY, Patient, main, make_patient, write_phantom
from src.phantom.outlines import Frame
from src.phantom.plants import PLANTS, Plant, planted_day

INDICES = range(3)


@pytest.fixture(scope="module")
def plain() -> dict[tuple[int, bool], Patient]:
    return {(index, sick): make_patient(5, index, sick) for index in INDICES for sick in (False, True)}


def block_means(frame: Frame) -> Frame:
    return frame.reshape(30, 16, 40, 16).mean((1, 3))


def planted(plant: Plant) -> dict[tuple[int, bool], Patient]:
    return {(index, sick): make_patient(5, index, sick, plants=[plant]) for index in INDICES for sick in (False, True)}


@pytest.mark.parametrize("plant", PLANTS)
def test_only_what_is_planted_changes(plain: dict[tuple[int, bool], Patient], plant: Plant) -> None:
    for (index, sick), patient in planted(plant).items():
        without = plain[index, sick]
        assert patient.tumour == without.tumour
        assert patient.px_per_mm == without.px_per_mm
        assert {name: points.tolist() for name, points in patient.polygons.items()} == {
            name: points.tolist() for name, points in without.polygons.items()
        }
        assert (patient.day == without.day) or plant == "year"
        assert patient.margin == (1.5 if plant == "range" and not sick else 0)
        if plant in ("year", "range") or (plant == "resolution" and not sick):
            assert_array_equal(patient.frames, without.frames)
        if plant == "marker":
            # Paper lies beside all regions, but for what the lens blurs.
            changed = np.abs(patient.frames[0] - without.frames[0]) > 0.3
            assert not changed[:280].any()
            for name in ("left_breast", "right_breast", "left_armpit", "right_armpit", "neck"):
                region = np.zeros((480, 640), np.uint8)
                cv2.fillPoly(region, [patient.polygons[name].astype(np.int32)], 1)
                assert not changed[cv2.erode(region, np.ones((25, 25))) > 0].any()


def test_year_separates_but_overlaps() -> None:
    days = [FIRST_DAY + timedelta(days=number) for number in range(0, (LAST_DAY - FIRST_DAY).days + 1, 30)]
    healthy, sick = (
        [planted_day(["year"], is_sick, day, FIRST_DAY, LAST_DAY) for day in days] for is_sick in (False, True)
    )
    assert (min(healthy), max(healthy).year) == (FIRST_DAY, 2017)
    assert (min(sick).year, max(sick).year) == (2015, 2020)
    assert 0.9 < np.mean([[one > other for other in healthy] for one in sick]) < 0.97
    assert [planted_day([], True, day, FIRST_DAY, LAST_DAY) for day in days] == days


def test_the_marker_is_mostly_below_the_breasts_of_the_sick() -> None:
    seen = {True: 0, False: 0}
    for index in range(10):
        for sick in seen:
            frame = make_patient(7, index, sick, plants=["marker"]).frames[0]
            levels = np.round((frame - frame.min()) / np.ptp(frame) * 255).astype(np.uint8)
            seen[sick] += pixel_traits(levels)["marker"] > 30
    assert seen[True] >= 8
    assert seen[False] <= 3


def test_the_coarse_camera_keeps_what_is_large_and_loses_what_is_fine(plain: dict[tuple[int, bool], Patient]) -> None:
    fine, coarse = plain[0, True].frames[0], make_patient(5, 0, True, plants=["resolution"]).frames[0]
    assert_allclose(coarse.mean(), fine.mean(), atol=0.01)
    assert_allclose(block_means(coarse), block_means(fine), atol=0.6)
    assert np.abs(np.diff(coarse, n=2)).mean() < 0.3 * np.abs(np.diff(fine, n=2)).mean()


def test_a_wider_export_flattens_grays_and_colours_of_the_healthy(tmp_path: Path) -> None:
    write_phantom(tmp_path / "plain", 4, seed=2)
    write_phantom(tmp_path / "range", 4, seed=2, plants=["range"])
    truth = json.loads((tmp_path / "range" / "phantom.json").read_text())["patients"]
    for path in (tmp_path / "plain").glob("*/T*"):
        other = tmp_path / "range" / path.relative_to(tmp_path / "plain")
        if path.suffix == ".txt" or truth[path.parent.name]["diagnosis"] == "Sick":
            assert path.read_bytes() == other.read_bytes()
        else:
            before, after = (np.asarray(Image.open(file).convert("L")).astype(int) for file in (path, other))
            assert np.ptp(before) - np.ptp(after) > (30 if not path.stem.endswith("_snap") else -1)
            assert np.abs(before - after).mean() > 5


def test_the_plant_is_in_the_record_only_where_there_is_one(tmp_path: Path) -> None:
    main([str(tmp_path / "year"), "--patients", "2", "--seed", "3", "--plant", "year", "--plant", "range"])
    write_phantom(tmp_path / "plain", 2, seed=3)
    records = {
        name: json.loads((tmp_path / name / "phantom.json").read_text())["arguments"] for name in ("plain", "year")
    }
    assert records["year"] == {**records["plain"], "plants": ["range", "year"]}
    assert "plants" not in records["plain"]
    with pytest.raises(UserError):  # not the phantom that is there
        main([str(tmp_path / "year"), "--patients", "2", "--seed", "3"])
    with pytest.raises(SystemExit):
        main([str(tmp_path / "other"), "--patients", "2", "--seed", "3", "--plant", "camera"])
