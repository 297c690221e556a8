"""The flag for frames unlike the training data."""

import numpy as np
import pytest

from src.evaluation.typicality import fit_typicality


def test_distances_are_mahalanobis_where_frames_are_many() -> None:
    generator = np.random.default_rng(0)
    mixing = np.array([[2.0, 0.0], [1.5, 0.5]])
    train, validation = (generator.normal(size=(n, 2)) @ mixing.T + 5 for n in (20_000, 1000))
    fitted = fit_typicality(train, validation)
    assert fitted is not None
    off = validation[:50] - train.mean(0)
    slow = [np.sqrt(row @ np.linalg.inv(np.cov(train.T)) @ row / 2) for row in off]
    np.testing.assert_allclose(fitted.distances(validation[:50]), slow, rtol=0.01)
    assert np.mean(fitted.distances(validation) <= fitted.threshold) == pytest.approx(0.99, abs=0.002)


def test_few_frames_of_many_features_still_tell_a_stranger() -> None:
    generator = np.random.default_rng(1)
    frames = generator.normal(size=(30, 64)) * np.linspace(1e-3, 10, 64)
    frames[:, 5] = 3.0  # a channel that never moves
    fitted = fit_typicality(frames[:22], frames[22:])
    assert fitted is not None
    assert (fitted.distances(frames[22:]) <= fitted.threshold).all()
    assert np.isfinite(fitted.precision).all()
    assert fitted.distances(frames[:1] + 5 * np.linspace(1e-3, 10, 64))[0] > fitted.threshold


def test_too_few_frames_tell_nothing() -> None:
    assert fit_typicality(np.ones((1, 4)), np.ones((3, 4))) is None
    assert fit_typicality(np.ones((5, 4)), np.ones((3, 4))) is None
    assert fit_typicality(np.eye(4), np.ones((0, 4))) is None
