"""Few annotated patients to train on, all others to test on, drawn several times; and none at all."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from src import load_segmenter
from src.datasets.build import Parts
from src.datasets.splits import Split
from src.datasets.torch_datasets import RegionDataset
from src.errors import UserError
from src.evaluation.predictions import SEGMENTATION_COLUMNS, segmentation_rows, write_predictions
from src.evaluation.segmentation import image_scores


def annotated_parts(parts: Parts[RegionDataset]) -> list[RegionDataset]:
    """All annotated frames, however they are divided."""
    return [parts.train, parts.validation, parts.test]


def draw_splits(parts: Parts[RegionDataset], count: int, draws: int, seed: int) -> list[Split]:
    """`draws` splits that leave `count` annotated patients to train on and one to validate on, and test all others.

    Each draw begins at another place of one order of the patients, which the seed draws, so that all are trained on
    and tested about equally often. Patients without annotations are nobody's test; those who share a frame with
    another are never trained on. `parts`: a division of the whole data, whose own split says who there is. Raises
    `UserError` where there are not so many.
    """
    everyone, groups = {*parts.split.test, *parts.split.rest}, parts.split.groups
    annotated = {patient for part in annotated_parts(parts) for patient in part.patients}
    free = sorted(annotated.difference(*groups))
    if count + 1 > len(free) or count + 2 > len(annotated):
        raise UserError(
            f"{count} patients to train on, one to validate on and another to test on: {len(annotated)} are annotated, "
            f"{len(free)} of them share no frame with others"
        )
    order = np.random.default_rng(seed).permutation(free).tolist()
    found = []
    for draw in range(draws):
        first = draw * len(order) // draws
        taken = {order[(first + place) % len(order)] for place in range(count + 1)}
        test = annotated - taken
        test.update(*(group for group in groups if test & set(group)))
        rest = tuple(sorted(everyone - test))
        found.append(Split(parts.split.seed, parts.split.test_ratio, tuple(sorted(test)), rest, groups))
    return found


def possible(parts: Parts[RegionDataset], labels: Iterable[int]) -> list[int]:
    """Those numbers of patients to train on that `draw_splits` can draw; it prints which cannot be."""
    found = []
    for count in labels:
        try:
            draw_splits(parts, count, 1, 0)
            found.append(count)
        except UserError as error:
            print(f"left out: {error}")
    return found


def predict_untrained(parts: Parts[RegionDataset], run: Path) -> None:
    """Write a run's test predictions as main_seg.py does, of all annotated heat maps, by the weights that ship.

    They see each in the run's size, as training shows it, and are not told its palette. Raises `UserError` where the
    annotation file has other classes than they know.
    """
    segmenter, classes = load_segmenter(), parts.train.classes
    names, own = classes.names, segmenter.classes
    known = {name.lower(): place for place, name in enumerate(names)}
    theirs = [known.get(name.lower(), -1) for name in own.names]
    theirs[own.background] = classes.background
    if sorted(theirs) != list(range(len(names))):
        raise UserError(f"the weights that ship know {', '.join(own.names)}, not {', '.join(names)}")
    datasets = annotated_parts(parts)
    truth, predicted = [], []
    for frame in (dataset[place] for dataset in datasets for place in range(len(dataset))):
        top, left, rows, columns = frame["content"].tolist()
        inside = (slice(top, top + rows), slice(left, left + columns))
        # As in testing, what the file does not fill of a frame is background.
        chosen = np.full(frame["target"].shape[1:], classes.background, np.uint8)
        colours = np.ascontiguousarray(frame["frame"].numpy()[:, *inside].transpose(1, 2, 0))
        chosen[inside] = np.array(theirs, np.uint8)[segmenter.predict(colours).labels]
        predicted.append(chosen)
        truth.append(frame["target"].argmax(0).numpy().astype(np.uint8))
    maps = np.stack(truth), np.stack(predicted)
    by_image = image_scores(*maps, classes)
    frames = [name for dataset in datasets for name in dataset.names]
    (run / "results").mkdir(parents=True, exist_ok=True)
    rows_of = segmentation_rows("test", frames, *maps, by_image, classes)
    write_predictions(run / "results" / "predictions.csv", SEGMENTATION_COLUMNS, rows_of)
