"""Regions from probabilities, against all that could have been drawn."""

import itertools

import cv2
import numpy as np

from src.evaluation.decision import LEAST, chosen_classes, decision

BACKGROUND = 2


def frame_of(*regions: np.ndarray) -> np.ndarray:
    """Probabilities [1, K, H, W] of the regions, the background last."""
    return np.stack([*regions, 1 - sum(regions)])[None].astype(np.float32)


def expected_dice(masks: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Mean Dice of each mask, bool [M, N], with all that independent pixels [N] could be; two empty ones are alike."""
    truths = np.array(list(itertools.product((False, True), repeat=len(probabilities))))
    likely = np.where(truths, probabilities, 1 - probabilities).prod(1)
    shared = masks.astype(int) @ truths.T
    sizes = masks.sum(1)[:, None] + truths.sum(1)
    return np.where(sizes > 0, 2 * shared / sizes.clip(1), 1.0) @ likely


def test_what_is_drawn_has_about_the_highest_expected_dice() -> None:
    rng = np.random.default_rng(0)
    masks = np.array(list(itertools.product((False, True), repeat=8)))
    reached, most_probable = [], []
    for power in (0.3, 1, 2) * 4:  # a pixel's worth or more, where the sizes' mean stands for the sizes
        probabilities = rng.uniform(0, 1, 8) ** power
        frame = frame_of(probabilities.reshape(2, 4), np.zeros((2, 4)))
        best = expected_dice(masks, probabilities).max()
        for decide, found in (("dice", reached), ("argmax", most_probable)):
            drawn = chosen_classes(frame, decide, BACKGROUND).reshape(1, -1) == 0
            found.append(expected_dice(drawn, probabilities)[0] - best)
    assert min(reached) > -0.02
    assert np.mean(reached) > np.mean(most_probable) + 0.01


def test_certain_regions_stay_as_they_are() -> None:
    truth = np.random.default_rng(0).integers(0, 3, (4, 12, 16))
    certain = (truth[:, None] == np.arange(3)[:, None, None]).astype(np.float32)
    for decide in ("argmax", "dice"):
        found = chosen_classes(certain, decide, BACKGROUND)
        assert found.dtype == np.uint8
        assert (found == truth).all()


def test_a_faint_region_is_drawn_where_it_is_likeliest_and_an_absent_one_is_not() -> None:
    around = np.zeros((20, 20))
    around[5:15, 5:15] = 0.9
    faint = np.zeros((20, 20))
    faint[8:12, 8:12] = 0.3
    around[8:12, 8:12] = 0.7
    found = chosen_classes(frame_of(around, faint), "dice", BACKGROUND)[0]
    assert (found[8:12, 8:12] == 1).all()
    assert (found == 1).sum() == 16
    assert (found == 0).sum() == 100 - 16
    assert not (chosen_classes(frame_of(around, faint), "argmax", BACKGROUND) == 1).any()


def test_what_is_probable_nowhere_is_absent_however_many_pixels_it_has() -> None:
    for size in (20, 480):
        traces = np.full((size, size), 1e-4)
        traces[: size // 2] = 0.9 * LEAST
        frame = frame_of(np.zeros((size, size)), traces)
        assert (chosen_classes(frame, "dice", BACKGROUND) == BACKGROUND).all()
        traces[0, 0] = 1.1 * LEAST
        drawn = chosen_classes(frame_of(np.zeros((size, size)), traces), "dice", BACKGROUND)[0] == 1
        assert (drawn[: size // 2]).all()  # one pixel tells that it is there, all others how far it may reach
        assert not drawn[size // 2 :].any()


def test_the_decision_does_not_depend_on_the_size_that_it_is_drawn_in() -> None:
    rng = np.random.default_rng(1)
    logits = cv2.GaussianBlur(rng.normal(0, 30, (24, 32, 3)), (0, 0), 3)
    probabilities = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    frame = probabilities.transpose(2, 0, 1).astype(np.float32)
    enlarged = frame.repeat(5, 1).repeat(5, 2)
    for decide in ("argmax", "dice"):
        drawn = decision(frame, decide, BACKGROUND)(enlarged)
        assert len(np.unique(drawn)) == 3
        assert (drawn == chosen_classes(frame[None], decide, BACKGROUND)[0].repeat(5, 0).repeat(5, 1)).all()
        assert (drawn == chosen_classes(enlarged[None], decide, BACKGROUND)[0]).mean() > 0.995


def test_no_frames_give_no_regions() -> None:
    assert chosen_classes(np.zeros((0, 3, 4, 5), np.float32), "dice", BACKGROUND).shape == (0, 4, 5)


def test_stray_pieces_go_to_the_next_best_class_and_equal_halves_stay() -> None:
    breast, nipple = np.full((12, 30), 0.6), np.zeros((12, 30))
    for columns, probability in ((slice(3, 7), 0.9), (slice(12, 14), 0.7)):  # a nipple, and a vein that looks like one
        nipple[4:8, columns] = probability
        breast[4:8, columns] = 0.1
    breast[:, 20:26] = 0.05  # where the background is likelier
    found = chosen_classes(frame_of(breast, nipple), "whole", BACKGROUND)[0]
    assert (found[4:8, 3:7] == 1).all()
    assert (found == 1).sum() == 16
    assert (found[4:8, 12:14] == BACKGROUND).all()  # .2, where the breast has .1
    assert (found[:, 26:] == BACKGROUND).all()  # the breast's smaller piece
    assert (chosen_classes(frame_of(breast, nipple), "argmax", BACKGROUND)[0] == 1).sum() == 24
    halves = np.zeros((12, 30))
    halves[:, :10], halves[:, 20:] = 0.9, 0.9
    assert (chosen_classes(frame_of(halves, np.zeros((12, 30))), "whole", BACKGROUND)[0] == 0).sum() == 240
