"""A picture of drawn torsos, their regions, and what the weights that ship find: `python -m src.phantom.sheet`."""

from src.errors import end_at_once, run

if __name__ == "__main__":  # torch takes seconds to be imported, and Ctrl-C may come in them
    end_at_once()

import argparse
from pathlib import Path

import numpy as np

from src.evaluation.figures import segmentation_sheet
from src.phantom.torsos import draw_torsos
from src.prediction.predictors import load_segmenter


def draw_sheet(path: Path, first: int, count: int) -> None:
    """Write the picture of torsos number `first` and on; those below 400 were never taught (`teach.TESTED`)."""
    segmenter = load_segmenter()
    levels, truth = draw_torsos(range(first, first + count))
    found = np.stack([segmenter.predict(frame).labels for frame in levels])
    names = [f"torso {number}" for number in range(first, first + count)]
    segmentation_sheet(levels[:, None], truth, found, names, segmenter.classes, path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m src.phantom.sheet", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.png")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first torso")
    parser.add_argument("--count", type=int, default=5, metavar="N", help="how many")
    flags = parser.parse_args()
    draw_sheet(flags.out, flags.first, flags.count)


if __name__ == "__main__":
    run(main)
