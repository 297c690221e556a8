"""Teaches what ships, on drawings alone: `python -m src.phantom.teach [regions|tumours]`."""

from src.errors import UserError, end_at_once, run

if __name__ == "__main__":  # torch takes seconds to be imported, and Ctrl-C may come in them
    end_at_once()

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from src.networks.taught import SHIPPED
from src.networks.tumours import SHIPPED_TUMOURS
from src.phantom.lesson import Lesson
from src.phantom.teach_regions import teach_regions
from src.phantom.teach_tumours import TUMOUR_LESSON, teach_tumours
from src.training.engine import choose_device

logger = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m src.phantom.teach", description=__doc__)
    parser.add_argument("task", nargs="?", choices=("regions", "tumours"), default="regions", help="what to teach")
    words = "the weights (default, of the usual lesson: those that ship)"
    parser.add_argument("--out", type=Path, metavar="FILE", help=words)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that draw (default: this one)")
    for name, value in vars(Lesson()).items():
        usual = f"{value}, of tumours {getattr(TUMOUR_LESSON, name)}"
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), metavar="N", help=f"default: {usual}")
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    usual_lesson, shipped, teach = {
        "regions": (Lesson(), SHIPPED, teach_regions),
        "tumours": (TUMOUR_LESSON, SHIPPED_TUMOURS, teach_tumours),
    }[flags.task]
    changes = {name: value for name in vars(usual_lesson) if (value := getattr(flags, name)) is not None}
    lesson = replace(usual_lesson, **changes)
    for name, value in vars(lesson).items():  # drawings of seed 0 are those to test on
        if value <= 0:
            raise UserError(f"--{name.replace('_', '-')}: {value}: more than 0 is accepted")
    if flags.out is None and lesson != usual_lesson:
        raise UserError("--out: is needed for another lesson than the usual one, which the weights that ship are of")
    out = flags.out or shipped
    teach(lesson, out, choose_device(flags.device), flags.workers)
    logger.info("wrote %s", out)


if __name__ == "__main__":
    run(main, "the same command goes on where it was last saved")
