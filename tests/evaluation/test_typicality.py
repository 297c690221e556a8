"""Frames that are unlike: distances against scipy, and a limit that few frames can give."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from src.evaluation.typicality import fit_typicality


def test_distances_are_mahalanobis() -> None:
    frames = np.random.default_rng(0).normal(size=(200, 5)) @ np.random.default_rng(1).normal(size=(5, 5))
    fitted = fit_typicality(frames, range(len(frames)))
    assert fitted is not None
    assert fitted.frames == 200
    scaled = (frames[3] - fitted.mean) / fitted.scale
    expected = mahalanobis(scaled, np.zeros(5), fitted.precision) / 5**0.5
    assert fitted.distances(frames[3:4])[0] == pytest.approx(expected)


@pytest.mark.parametrize(("features", "hidden"), [(6, 6), (14, 14), (64, 8)])
def test_sixteen_frames_give_about_one_false_alarm_in_a_hundred(features: int, hidden: int) -> None:
    alarms, found = [], []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        mixed = generator.normal(size=(hidden, features))

        def draw(count: int, generator: np.random.Generator = generator, mixed: np.ndarray = mixed) -> np.ndarray:
            return generator.normal(size=(count, hidden)) @ mixed + 0.1 * generator.normal(size=(count, features))

        fitted = fit_typicality(draw(16), range(16))
        assert fitted is not None
        alarms.append((fitted.distances(draw(500)) > fitted.threshold).mean())
        found.append((fitted.distances(draw(100) + 5 * np.abs(mixed).sum(0) / hidden**0.5) > fitted.threshold).mean())
    assert np.mean(alarms) < 0.02
    assert np.mean(found) > 0.9


def test_frames_of_one_patient_are_no_news_about_each_other() -> None:
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(12), 5)
    draw = generator.normal(size=(12, 4))
    frames = draw[patients] + 0.05 * generator.normal(size=(60, 4))
    apart, together = fit_typicality(frames, patients.tolist()), fit_typicality(frames, range(len(frames)))
    assert apart is not None
    assert together is not None
    new = apart.distances(generator.normal(size=(2000, 4)))
    assert (new > apart.threshold).mean() < 0.03 < (new > together.threshold).mean()


def test_too_few_or_equal_frames_tell_nothing() -> None:
    frames = np.random.default_rng(0).normal(size=(9, 3))
    assert fit_typicality(frames[:3], range(3)) is None
    assert fit_typicality(frames, [1, 1, 1, 2, 2, 2, 3, 3, 3]) is None
    assert fit_typicality(np.ones((9, 3)), range(9)) is None
