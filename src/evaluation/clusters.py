"""K-means of latents, over the pixels of many frames: a segmentation that no label was needed for."""

from collections.abc import Iterable

import numpy as np
from sklearn.cluster import MiniBatchKMeans

CLUSTERS = 8
FITTED_PIXELS = 20_000


def fit_clusters(latents: Iterable[np.ndarray], clusters: int, frames: int, seed: int) -> MiniBatchKMeans:
    """K-means of pixels drawn evenly from the latents [L, H, W] of so many frames."""
    generator = np.random.default_rng(seed)
    drawn = []
    for z in latents:
        pixels = z.reshape(len(z), -1).T
        drawn.append(pixels[generator.permutation(len(pixels))[: -(-FITTED_PIXELS // frames)]])
    return MiniBatchKMeans(clusters, random_state=seed, n_init=3).fit(np.concatenate(drawn).astype(np.float32))


def clusters_of(means: MiniBatchKMeans, latents: np.ndarray) -> np.ndarray:
    """The cluster of each pixel, uint8 [H, W], of one frame's latents [L, H, W]."""
    pixels = np.ascontiguousarray(latents.reshape(len(latents), -1).T, dtype=np.float32)
    found: np.ndarray = means.predict(pixels).astype(np.uint8)
    return found.reshape(latents.shape[1:])
