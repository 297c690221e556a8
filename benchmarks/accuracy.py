"""`python -m benchmarks.accuracy OUT`: which way of training finds regions best, from how many annotated patients on.

Every arm of benchmarks/arms.py is trained by k-fold, its encoders too, and compared with the recommended settings by
patient. For the learning curve a few annotated patients are drawn several times, and all others tested; beside it
stands what the weights that ship find without any. Trainings lie below OUT, of one process at a time, and none is done
twice: the same command goes on where it was stopped. What is found goes to accuracy.json beside this file as soon as it
is known, and from there into accuracy.png and the tables that are printed.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.accuracy_report import draw_curves, tables
from benchmarks.arms import CURVE, RANDOM_START, RECOMMENDED, REGIONS, Arm
from benchmarks.draws import draw_splits, possible, predict_untrained
from main_latent import pretrain
from main_seg import train_and_test
from src import cli
from src.datasets import splits
from src.datasets.build import Parts, build_regions
from src.datasets.torch_datasets import RegionDataset
from src.errors import UserError
from src.errors import run as run_script
from src.evaluation.intervals import Interval
from src.evaluation.tested import differences
from src.files import alone_in, read_json, write_json
from src.networks.precision import compute_dtype, number_format
from src.networks.taught import SHIPPED
from src.phantom.dataset import write_phantom
from src.protocols import trials as protocols
from src.protocols.pooling import pool
from src.protocols.trial import Trial, place, run_trial, trial_of
from src.settings import SegmentationSettings
from src.training.engine import choose_device

HERE = Path(__file__).parent
PATIENTS, ANNOTATED = 100, 0.5
LABELS = (2, 4, 8, 16)  # numbers of annotated patients on the learning curve
SCORE = "test/dice_macro"
NIPPLES = ("test/dice/left_nipple", "test/dice/right_nipple")
OWN = ("dataset_path", "output_root", "cache_folder", "protocol", "folds", "train_val_ratio")
"""Settings that the benchmark gives every arm itself, the last one on the curve."""
QUICK = ("image_size=[60, 80]", "base_channels=24", "min_steps_per_epoch=5", "max_epochs=2")
QUICK_ENCODER = ("image_size=[60, 80]", "max_epochs=2")


@dataclass(frozen=True)
class Bench:
    """On what the arms are compared, and where their trainings lie."""

    out: Path
    data: Path
    folds: int
    seeds: int
    draws: int
    changes: Sequence[str] = ()  # settings that all decoders share, whatever their arm says, such as another image_size
    encoder_changes: Sequence[str] = ()

    def arguments(self, arm: Arm, changes: Sequence[str]) -> cli.Arguments:
        """The command line that trains an arm, with more changes of its settings, as main_seg.py would read it."""
        places = {"dataset_path": self.data, "output_root": self.out / arm.folder, "cache_folder": self.out / "frames"}
        overrides = [*arm.changes, *self.changes, *changes]
        overrides += [f"{name}={json.dumps(str(path))}" for name, path in places.items()]
        return cli.Arguments(
            cfg_path=arm.cfg_path,
            mode="train",
            overrides=tuple(overrides),
            device="auto",
            resume=True,
            overwrite=False,
            encoder="heat",
            decoder="heat",
            encoder_ckpt_root=None,
            seeds=self.seeds,
        )

    def in_folds(self, arm: Arm) -> cli.Arguments:
        """The command line of an arm on all annotated patients."""
        return self.arguments(arm, ("protocol=kfold", f"folds={self.folds}"))

    def settings(self, arm: Arm) -> SegmentationSettings:
        """The settings of an arm's decoders in all folds."""
        return cli.segmentation_settings(self.in_folds(arm))

    def train(self, arm: Arm) -> Path:
        """Train an arm in all folds with all seeds, as far as that is not done; returns the folder of what they say."""
        settings = self.settings(arm)
        protocols.run(settings, self._with_encoder(self.in_folds(arm), settings), train_and_test, pretrain)
        return place(settings) / settings.run_name

    def train_on(self, count: int, arm: Arm) -> Path:
        """The same in all draws of so many annotated patients, with one seed; all arms have the same draws."""
        arguments = self.arguments(arm, (f"train_val_ratio={count}:1",))
        settings = cli.segmentation_settings(arguments)
        arguments = self._with_encoder(arguments, settings)
        root = settings.output_root / "draws" / f"{count}_labels"
        trials = []
        for draw, split in enumerate(draw_splits(self.parts, count, self.draws, settings.seed), 1):
            trials.append(Trial(settings.seed, draw, root / f"draw_{draw}"))
            trials[-1].root.mkdir(parents=True, exist_ok=True)
            splits.save(trials[-1].root / settings.split_name, split)
            run_trial(trials[-1], settings, arguments, train_and_test, pretrain)
        pool(settings, trials, settings.run_name, root / settings.run_name)
        return root / settings.run_name

    def _with_encoder(self, arguments: cli.Arguments, settings: SegmentationSettings) -> cli.Arguments:
        changes = tuple(self.encoder_changes) if settings.pretrains_encoder else ()
        return replace(arguments, encoder_overrides=changes)

    @cached_property
    def parts(self) -> Parts[RegionDataset]:
        """The whole data with the regions drawn in them, divided somehow."""
        settings = cli.segmentation_settings(self.arguments(RECOMMENDED, ()))
        return build_regions(settings.model_copy(update={"output_root": self.out / "untrained"}))

    def predict_untrained(self) -> Path:
        """What the weights that ship find in all annotated frames; returns the folder of what that says."""
        settings = self.settings(RECOMMENDED).model_copy(update={"output_root": self.out / "untrained"})
        trial = Trial(settings.seed, None, settings.output_root)
        pooled = settings.output_root / "pooled"
        predict_untrained(self.parts, trial.root / settings.run_name)
        pool(settings, [trial], settings.run_name, pooled)
        return pooled

    def seconds(self, arm: Arm) -> float:
        """What one training takes, its encoder's included where it has one; mean over folds and seeds."""
        settings = self.settings(arm)
        runs = [settings.run_name] + ["dmr_runs"] * settings.pretrains_encoder
        seeds = range(settings.seed, settings.seed + self.seeds)
        roots = [trial_of(settings, seed, fold).root for seed in seeds for fold in range(1, self.folds + 1)]
        paths = [[root / run / "results" / "metrics.json" for run in runs] for root in roots]
        return float(np.mean([sum(read_json(path, "the metrics")["seconds"] for path in trial) for trial in paths]))

    def scores(self, pooled: Path, reference: Path | None = None) -> dict[str, Any]:
        """What trainings pooled there reach, and what more than a reference on the same patients, paired by patient."""
        intervals = read_json(pooled / "results" / "intervals.json", "the intervals")
        across = read_json(pooled / "results" / "trials.json", "the trials")["across_seeds"]
        names = [name for name in intervals if name == SCORE or name.startswith("test/dice/")]
        found: dict[str, Any] = {_short(name): _ends(Interval(**intervals[name])) for name in names}
        found["seeds"] = across[SCORE]["values"]
        if reference not in (None, pooled):
            minus = differences(self.settings(RECOMMENDED), pooled, reference)
            found["minus_reference"] = {_short(name): _ends(minus[name]) for name in (SCORE, *NIPPLES)}
        return found


def _short(name: str) -> str:
    return name.removeprefix("test/").removeprefix("dice/")


def _ends(interval: Interval) -> list[float | None]:
    return [interval.value, interval.low, interval.high]


def digest(arm: Arm) -> str:
    """The start of a hash of the settings' file of an arm, which is another one where a setting is, but for places."""
    settings = yaml.safe_load((arm.cfg_path / "dmr_seg_h_enc_h_dec.yaml").read_text(encoding="utf-8"))
    told = {name: value for name, value in settings.items() if name not in OWN}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


class Results:
    """accuracy.json: what was found, by collection of frames."""

    def __init__(self, path: Path, collection: str, made_with: Mapping[str, Any]) -> None:
        """`made_with` is what all of a collection's results share; `UserError` where there are others of its name."""
        self.path, self.collection = path, collection
        known = self.everything.get(collection, {}).get("made_with", made_with)
        if known != made_with:
            raise UserError(f"{path}: {collection!r} was made with {known}, not {made_with}; give another --name")
        self.keep({"made_with": made_with})

    @property
    def everything(self) -> dict[str, dict[str, Any]]:
        """All that is there, of every collection."""
        found: dict[str, dict[str, Any]] = read_json(self.path, "the results") if self.path.exists() else {}
        return found

    def keep(self, found: Mapping[str, Any], *names: str) -> None:
        """Add to the part of this collection's results that the names lead to; other processes may do so too."""
        with alone_in(self.path.parent):
            everything = self.everything
            part = everything.setdefault(self.collection, {})
            for name in names:
                part = part.setdefault(name, {})
            part.update(found)
            write_json(self.path, everything)


def _options() -> argparse.Namespace:
    """What the command line asks for, with `--quick` resolved; `arms` are those of benchmarks/arms.py."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the trainings")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a data folder (default: a phantom, written to OUT)")
    parser.add_argument("--name", help="what accuracy.json calls the data (default: phantom, or the folder's name)")
    parser.add_argument("--part", choices=("regions", "curve"), nargs="+", default=["regions", "curve"])
    behind = f"'{RECOMMENDED.name}' or on the curve '{RANDOM_START.name}'"
    words = f"these alone, beside {behind}, which all are compared with"
    parser.add_argument("--arms", nargs="+", metavar="NAME", help=words)
    parser.add_argument("--labels", type=int, nargs="+", metavar="N", help=f"points of the curve, by default {LABELS}")
    parser.add_argument("--draws", type=int, help="of so many patients, each tested on all others; by default 5")
    parser.add_argument("--folds", type=int, help="on all patients; by default 5")
    parser.add_argument("--seeds", type=int, help="of each fold, a draw has one; by default 3")
    for flag, whose in (("--set", "decoders"), ("--encoder-set", "encoders")):
        words = f"settings of all {whose}, as 'image_size=[60,80]'"
        parser.add_argument(flag, nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=words)
    parser.add_argument("--quick", action="store_true", help="in minutes: shows that all runs, no more")
    options = parser.parse_args()
    sizes = {"folds": (5, 2), "seeds": (3, 1), "labels": (LABELS, (2,)), "draws": (5, 2)}
    for name, (usual, quick) in sizes.items():
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else usual)
        elif options.quick:
            raise UserError(f"--{name}: does not go with --quick, which takes {quick}")
    if min(options.seeds, options.draws, *options.labels) < 1 or options.folds < 2:
        raise UserError("--seeds, --draws and --labels from 1, --folds from 2 are accepted")
    taken = sorted(cli.named(options.set) & set(OWN))
    if taken:
        raise UserError(f"--set: {', '.join(taken)}: OUT and the other flags say that here")
    known = {arm.name: arm for arm in REGIONS}
    unknown = set(options.arms or ()) - set(known)
    if unknown:
        raise UserError(f"--arms: {', '.join(sorted(unknown))}: of {'; '.join(known)} any are accepted")
    options.arms = [known[name] for name in options.arms or known]
    if options.quick:
        options.set, options.encoder_set = [*QUICK, *options.set], [*QUICK_ENCODER, *options.encoder_set]
    return options


def main() -> None:
    options = _options()
    out = options.out.resolve()
    data = options.data or out / "phantom"
    if options.data is None:
        write_phantom(data, 20 if options.quick else PATIENTS, seed=5, annotated=ANNOTATED)
    bench = Bench(out, data.resolve(), options.folds, options.seeds, options.draws, options.set, options.encoder_set)
    made_with = {
        "folds": options.folds,
        "draws": options.draws,
        "seeds": options.seeds,
        "set": list(options.set),
        "encoder_set": list(options.encoder_set),
        "recommended": digest(RECOMMENDED),
        "weights": hashlib.sha256(SHIPPED.read_bytes()).hexdigest()[:12],
        "number_format": number_format(compute_dtype(bench.settings(RECOMMENDED).precision, choose_device("auto"))),
    }
    results = Results((out if options.quick else HERE) / "accuracy.json", options.name or data.name, made_with)
    untrained = bench.predict_untrained()
    results.keep(bench.scores(untrained), "no_labels")
    if "regions" in options.part:
        reference = bench.train(RECOMMENDED)
        for arm in _behind(RECOMMENDED, options.arms):
            found = bench.scores(bench.train(arm), reference) | {"seconds": bench.seconds(arm)}
            results.keep({arm.name: found}, "regions")
        results.keep(bench.scores(untrained, reference), "no_labels")
    if "curve" in options.part:
        for count in possible(bench.parts, options.labels):
            reference = bench.train_on(count, RANDOM_START)
            for arm in _behind(RANDOM_START, [arm for arm in options.arms if arm in CURVE]):
                found = bench.scores(bench.train_on(count, arm), reference)
                results.keep({arm.name: found}, "curve", str(count))
    draw_curves(results.everything, results.path.with_suffix(".png"))
    print(tables(results.everything))


def _behind(first: Arm, arms: Sequence[Arm]) -> list[Arm]:
    """The arms, and before them the one that they are compared with."""
    return [first, *(arm for arm in arms if arm != first)]


if __name__ == "__main__":
    run_script(main, cli.AFTER_INTERRUPTION)
