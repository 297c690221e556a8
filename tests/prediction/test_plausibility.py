"""Warnings of drawn regions: none where anatomy is kept, the right one where it is not."""

import cv2
import numpy as np
import pytest

from src.classes import Classes
from src.prediction.plausibility import AGREED, plausibility

NAMES = ("left_breast", "right_breast", "left_nipple", "right_nipple", "left_armpit", "right_armpit", "ROI", "neck")
CLASSES = Classes(NAMES, 6)
Places = dict[str, tuple[int, int, int]]
TORSO: Places = {
    "left_armpit": (25, 35, 12),
    "right_armpit": (135, 35, 12),
    "neck": (80, 10, 10),
    "left_breast": (50, 75, 24),
    "right_breast": (110, 75, 24),
    "left_nipple": (45, 82, 5),
    "right_nipple": (115, 82, 5),
}


def drawn(places: Places, times: int = 1) -> np.ndarray:
    """Discs (column, row, radius) of a frame of 120 x 160, in other pixels."""
    labels = np.full((120 * times, 160 * times), 6, np.uint8)
    for name, (column, row, radius) in places.items():
        cv2.circle(labels, (column * times, row * times), radius * times, NAMES.index(name.partition("+")[0]), -1)
    return labels


def warnings_of(places: Places, times: int = 1) -> dict[str, tuple[str, ...]]:
    return {found.region: found.warnings for found in plausibility(drawn(places, times), CLASSES) if found.warnings}


@pytest.mark.parametrize("times", [1, 4])
def test_a_torso_as_it_is_raises_nothing(times: int) -> None:
    assert warnings_of(TORSO, times) == {}
    found = {each.region: each for each in plausibility(drawn(TORSO, times), CLASSES)}
    assert found["left_nipple"].pieces == 1
    assert found["left_nipple"].share == pytest.approx(np.pi * 25 / 19200, rel=0.15)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"left_nipple": None}, {"left_nipple": ("not found",)}),
        ({"left_armpit": (25, 90, 12)}, {"left_armpit": ("out of place",)}),
        ({"neck": (80, 112, 8)}, {"neck": ("out of place",)}),
        ({"right_nipple": (75, 110, 5)}, {"right_nipple": ("out of place",)}),
        ({"right_armpit": (135, 35, 12), "right_armpit+2": (150, 90, 8)}, {"right_armpit": ("in two pieces",)}),
        ({"neck": (80, 10, 10), "neck+2": (80, 60, 1)}, {}),
        ({"left_breast": (50, 75, 12), "left_nipple": (50, 78, 5)}, {"left_breast": ("very small",)}),
        ({"left_nipple": (50, 78, 14)}, {"left_nipple": ("very large",)}),
        ({"left_nipple+2": (45, 74, 5), "left_nipple+3": (45, 66, 5)}, {"left_nipple": ("not round",)}),
    ],
)
def test_what_is_amiss_is_said_of_its_region_alone(
    changed: dict[str, tuple[int, int, int] | None], expected: dict[str, tuple[str, ...]]
) -> None:
    places = {name: place for name, place in (TORSO | changed).items() if place is not None}
    assert warnings_of(places) == expected


def test_breasts_on_the_belly_and_exchanged_sides_are_asked_about() -> None:
    low: Places = TORSO | {"left_breast": (50, 98, 20), "right_breast": (110, 98, 20)}
    low |= {"left_nipple": (50, 100, 5), "right_nipple": (110, 100, 5)}
    found = warnings_of(low)
    assert found == {"left_breast": ("on the belly?",), "right_breast": ("on the belly?",)}
    exchanged = TORSO | {"left_nipple": TORSO["right_nipple"], "right_nipple": TORSO["left_nipple"]}
    for words in warnings_of(exchanged).values():
        assert "left and right exchanged?" in words


def test_crumbs_are_several_pieces_and_unknown_names_are_only_counted() -> None:
    labels = np.ones((60, 80), np.uint8)
    labels[::4, ::4] = 0
    (found,) = plausibility(labels, Classes(("a hand", "ROI"), 1))
    assert (found.pieces, found.warnings) == (2, ("in two pieces",))
    (found,) = plausibility(labels * 0 + 1, Classes(("a hand", "ROI"), 1))
    assert (found.pieces, found.share, found.warnings) == (0, 0.0, ("not found",))


def test_a_region_that_copies_disagree_on_is_warned_of() -> None:
    agreement = [1.0 if name != "neck" else AGREED - 0.01 for name in NAMES]
    found = {each.region: each.warnings for each in plausibility(drawn(TORSO), CLASSES, agreement)}
    assert found.pop("neck") == ("changed copies disagree",)
    assert not any(found.values())
