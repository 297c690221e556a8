"""`python -m benchmarks.accuracy OUT`: which settings find regions best, and from how many labels on latents help.

Every arm of benchmarks/arms.py is trained by k-fold, its encoders too, and compared with the recommended settings by
patient; then what a decoder sees is compared at growing numbers of annotated patients. Trainings lie below OUT, of one
process at a time, and none is done twice: the same command goes on where it was stopped. What is found goes to
accuracy.json beside this file as soon as it is known, and from there into accuracy.png and the tables that are printed.
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.accuracy_report import draw_curves, tables
from benchmarks.arms import INPUTS, PUBLISHED, RECOMMENDED, REGIONS, Arm
from main_latent import pretrain
from main_seg import train_and_test
from src import cli, protocols
from src.datasets.phantom import write_phantom
from src.datasets.splits import load_division
from src.errors import UserError
from src.errors import run as run_script
from src.evaluation.intervals import Interval
from src.evaluation.pooling import Trial, differences, pool
from src.files import alone_in, read_json, write_json
from src.settings import BASELINES, SegmentationSettings
from src.training.engine import choose_device
from src.training.precision import compute_dtype, number_format
from src.training.run_folder import RunFolder

HERE = Path(__file__).parent
PATIENTS, ANNOTATED = 100, 0.5
LABELS = (4, 8, 16, 32)
"""Numbers of annotated patients on the learning curve, before all that a fold has to train on."""
LATENTS_ALONE = INPUTS["latents"]
SCORE = "test/dice_macro"
NIPPLES = ("test/dice/left_nipple", "test/dice/right_nipple")
OWN = ("dataset_path", "output_root", "cache_folder", "protocol", "folds")
"""Settings that the benchmark gives every arm itself."""
QUICK = ("image_size=[60, 80]", "base_channels=8", "max_epochs=10")
QUICK_ENCODER = ("image_size=[60, 80]", "max_epochs=3")
QUICK_ARMS = (RECOMMENDED, PUBLISHED, *INPUTS.values())


@dataclass(frozen=True)
class Bench:
    """On what the arms are compared, and where their trainings lie."""

    out: Path
    data: Path
    folds: int
    seeds: int
    changes: Sequence[str] = ()
    """Settings that all decoders share, such as another image_size."""
    encoder_changes: Sequence[str] = ()

    def arguments(self, arm: Arm, changes: Sequence[str] = ()) -> cli.Arguments:
        """The command line that trains an arm, with more changes of its settings, as main_seg.py would read it."""
        root = self.out / "_".join([arm.folder, *(change.replace("=", "_") for change in changes)])
        places = {"dataset_path": self.data, "output_root": root, "cache_folder": self.out / "frames"}
        overrides = [*self.changes, *arm.changes, *changes, "protocol=kfold", f"folds={self.folds}"]
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

    def settings(self, arm: Arm, changes: Sequence[str] = ()) -> SegmentationSettings:
        """The settings of an arm's decoders."""
        return cli.segmentation_settings(self.arguments(arm, changes))

    def train(self, arm: Arm, changes: Sequence[str] = ()) -> Path:
        """Train an arm in all folds with all seeds, as far as that is not done; returns the folder of what they say."""
        settings, arguments = self.settings(arm, changes), self.arguments(arm, changes)
        if settings.decoder_input != "pixels":
            self._copy_encoders(arm, settings)
            arguments = replace(arguments, encoder_overrides=(*self.encoder_changes, *arm.encoder_changes))
        protocols.run(settings, arguments, train_and_test, pretrain)
        return protocols.place(settings) / settings.run_name

    def sees_latents(self, arm: Arm) -> bool:
        """Whether the arm is a change of the recommended settings whose decoders see latents."""
        return arm.settings == LATENTS_ALONE.settings and self.settings(arm).decoder_input != "pixels"

    def shares_encoders(self, arm: Arm) -> bool:
        """Whether the arm's decoders see latents of the encoders that those of `latents` do."""
        return self.sees_latents(arm) and not arm.encoder_changes

    def _copy_encoders(self, arm: Arm, settings: SegmentationSettings) -> None:
        """Bring the encoders of `latents` where this arm's would be the same: protocols takes them as they are."""
        if not self.shares_encoders(arm):
            return
        place, source = protocols.place(settings), protocols.place(self.settings(LATENTS_ALONE))
        for run in source.glob("seed_*/fold_*/dmr_runs"):
            own = place / run.relative_to(source)
            if not own.exists() and (run / "results" / "metrics.json").exists():
                part = own.with_name(".dmr_runs_copied")
                shutil.copytree(run, part, dirs_exist_ok=True)
                part.rename(own)

    def trials(self, arm: Arm) -> list[Trial]:
        """An arm's trainings."""
        settings = self.settings(arm)
        seeds, folds = range(settings.seed, settings.seed + self.seeds), range(1, self.folds + 1)
        return [protocols.trial_of(settings, seed, fold) for seed in seeds for fold in folds]

    def seconds(self, arm: Arm) -> float:
        """What one training takes, its encoder's included where it has one; mean over folds and seeds."""
        settings = self.settings(arm)
        runs = [settings.run_name] + ["dmr_runs"] * (settings.decoder_input not in BASELINES)
        return float(
            np.mean([sum(_metrics(trial.root / run)["seconds"] for run in runs) for trial in self.trials(arm)])
        )


def _metrics(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(run / "results" / "metrics.json", "the metrics")
    return found


def ablate(bench: Bench, arm: Arm, references: Mapping[str, Path]) -> dict[str, Any]:
    """An arm's scores, and its scores minus those of each reference that it differs from, by name, which lie there."""
    pooled = bench.train(arm)
    found = _scores(pooled) | {"seconds": bench.seconds(arm)}
    for name, reference in references.items():
        if reference != pooled:
            minus = differences(bench.settings(arm), pooled, reference)
            found[f"minus_{name}"] = {_short(score): _ends(minus[score]) for score in (SCORE, *NIPPLES)}
    return found


def learn(bench: Bench, changes: Sequence[str]) -> dict[str, Any]:
    """What each input of the decoder reaches with some setting changed, and what it reaches more than raw pixels."""
    pooled = {name: bench.train(arm, changes) for name, arm in INPUTS.items()}
    settings = bench.settings(RECOMMENDED)
    found = {name: _scores(folder) for name, folder in pooled.items()}
    for name in set(pooled) - {"pixels"}:
        minus = differences(settings, pooled[name], pooled["pixels"])
        found[name]["minus_pixels"] = {_short(SCORE): _ends(minus[SCORE])}
    return found


def distinct(bench: Bench, arms: Sequence[Arm]) -> list[Arm]:
    """The arms that are not the recommended settings once more, as `ensemble=1` for all makes "one UNet"."""

    def settings(arm: Arm) -> dict[str, Any]:
        return bench.settings(arm).model_dump(exclude={"output_root"})

    def again(arm: Arm) -> bool:
        return arm is not RECOMMENDED and not arm.encoder_changes and settings(arm) == settings(RECOMMENDED)

    for arm in filter(again, arms):
        print(f"{arm.name}: left out, with these --set it is the recommended settings")
    return [arm for arm in arms if not again(arm)]


def possible(bench: Bench, labels: Sequence[int]) -> list[int]:
    """The points of the curve that every fold has training patients for; RECOMMENDED must be trained."""
    run = bench.settings(RECOMMENDED).run_name
    fewest = min(len(load_division(RunFolder(trial.root / run).split).train) for trial in bench.trials(RECOMMENDED))
    for count in labels:
        if count > fewest:
            print(f"{count} patients: left out, a fold has {fewest} to train on")
    return [count for count in labels if count <= fewest]


def eligible(bench: Bench, arms: Sequence[Arm]) -> list[Arm]:
    """The arms that a fold may choose from: changes of the recommended settings.

    All are judged on the same validation patients, and none by an epoch that was chosen on them.
    """

    def alike(arm: Arm) -> tuple[str, ...]:
        settings = bench.settings(arm)
        return arm.settings, settings.train_val_ratio, settings.select_by

    return [arm for arm in arms if alike(arm) == alike(RECOMMENDED)]


def chosen_by_validation(bench: Bench, arms: Sequence[Arm]) -> list[tuple[str, Trial]]:
    """For each fold the trainings of the arm that is best on that fold's own validation patients, with its name.

    The arms must be `eligible`.
    """
    run = bench.settings(RECOMMENDED).run_name
    found = []
    for fold in range(1, bench.folds + 1):
        of_fold = {arm.name: [trial for trial in bench.trials(arm) if trial.fold == fold] for arm in arms}
        reached = {
            name: float(np.mean([_metrics(trial.root / run)["val/dice_macro"] for trial in trials]))
            for name, trials in of_fold.items()
        }
        best = max(reached, key=lambda name: reached[name])
        found += [(best, trial) for trial in of_fold[best]]
    return found


def choose_nested(bench: Bench, arms: Sequence[Arm]) -> dict[str, Any]:
    """The scores of `chosen_by_validation`, so of a choice that saw no test patient, and what each fold chose."""
    taken = chosen_by_validation(bench, arms)
    settings = bench.settings(RECOMMENDED).model_copy(update={"output_root": bench.out})
    folder = bench.out / "nested" / settings.run_name
    pool(settings, [trial for _, trial in taken], settings.run_name, folder)
    chosen = {str(trial.fold): name for name, trial in taken}
    return _scores(folder) | {"chosen": chosen, "among": [arm.name for arm in arms]}


def _scores(pooled: Path) -> dict[str, Any]:
    intervals = read_json(pooled / "results" / "intervals.json", "the intervals")
    across = read_json(pooled / "results" / "trials.json", "the trials")["across_seeds"]
    names = [name for name in intervals if name == SCORE or name.startswith("test/dice/")]
    found: dict[str, Any] = {_short(name): _ends(Interval(**intervals[name])) for name in names}
    return found | {"seeds": across[SCORE]["values"]}


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
        self.keep("made_with", made_with)

    @property
    def everything(self) -> dict[str, dict[str, Any]]:
        """All that is there, of every collection."""
        found: dict[str, dict[str, Any]] = read_json(self.path, "the results") if self.path.exists() else {}
        return found

    def keep(self, part: str, found: Mapping[str, Any]) -> None:
        """Add to a part of this collection's results; other processes may do so too."""
        with alone_in(self.path.parent):
            everything = self.everything
            everything.setdefault(self.collection, {}).setdefault(part, {}).update(found)
            write_json(self.path, everything)


def _options() -> argparse.Namespace:
    """What the command line asks for, with `--quick` resolved; `arms` are those of benchmarks/arms.py."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the trainings")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a data folder (default: a phantom, written to OUT)")
    parser.add_argument("--name", help="what accuracy.json calls the data (default: phantom, or the folder's name)")
    parser.add_argument("--part", choices=("regions", "curve"), nargs="+", default=["regions", "curve"])
    parser.add_argument(
        "--arms",
        nargs="+",
        metavar="NAME",
        help="of the regions' arms these alone; others that see latents are compared with 'latents alone' if given",
    )
    parser.add_argument("--labels", type=int, nargs="+", metavar="N", help=f"points of the curve, by default {LABELS}")
    parser.add_argument("--folds", type=int, help="by default 5")
    parser.add_argument("--seeds", type=int, help="by default 3")
    for flag, whose in (("--set", "decoders"), ("--encoder-set", "encoders")):
        parser.add_argument(
            flag,
            nargs="+",
            action="extend",
            default=[],
            metavar="KEY=VALUE",
            help=f"settings of all {whose}, as 'image_size=[60,80]'",
        )
    parser.add_argument("--quick", action="store_true", help="in minutes: shows that all runs, no more")
    options = parser.parse_args()
    sizes = {"folds": (5, 2), "seeds": (3, 1), "labels": (LABELS, (2,))}
    for name, (usual, quick) in sizes.items():
        if options.quick and getattr(options, name) is not None:
            raise UserError(f"--{name}: does not go with --quick, which takes {quick}")
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else usual)
    if options.seeds < 1 or options.folds < 2 or min(options.labels) < 1:
        raise UserError("--seeds and --labels from 1, --folds from 2 are accepted")
    taken = sorted(cli.named(options.set) & set(OWN))
    if taken:
        raise UserError(f"--set: {', '.join(taken)}: OUT, --data and --folds say that here")
    known = {arm.name: arm for arm in (QUICK_ARMS if options.quick else REGIONS)}
    unknown = set(options.arms or ()) - set(known)
    if unknown:
        raise UserError(f"--arms: {', '.join(sorted(unknown))}: of {'; '.join(known)} any are accepted")
    options.arms = [known[name] for name in options.arms or known]
    if options.quick:
        options.set, options.encoder_set = [*QUICK, *options.set], [*QUICK_ENCODER, *options.encoder_set]
    return options


def main() -> None:
    """The command line."""
    options = _options()
    out = options.out.resolve()
    data = options.data or out / "phantom"
    if options.data is None:
        write_phantom(data, 20 if options.quick else PATIENTS, seed=5, annotated=ANNOTATED)
    bench = Bench(out, data.resolve(), options.folds, options.seeds, options.set, options.encoder_set)
    made_with = {
        "folds": options.folds,
        "seeds": options.seeds,
        "set": list(options.set),
        "encoder_set": list(options.encoder_set),
        "recommended": digest(RECOMMENDED),
        "number_format": number_format(compute_dtype(bench.settings(RECOMMENDED).precision, choose_device("auto"))),
    }
    results = Results((out if options.quick else HERE) / "accuracy.json", options.name or data.name, made_with)
    arms = distinct(bench, options.arms)
    references = {"recommended": bench.train(RECOMMENDED)}
    planned = {*(arms if "regions" in options.part else ()), *(INPUTS.values() if "curve" in options.part else ())}
    # Before the others, which take its encoders.
    latents = {"latents_alone": bench.train(LATENTS_ALONE)} if LATENTS_ALONE in planned else {}
    if "regions" in options.part:
        for arm in arms:
            found = ablate(bench, arm, references | (latents if bench.sees_latents(arm) else {}))
            results.keep("regions", {arm.name: found})
        if len(eligible(bench, arms)) > 1:
            results.keep("nested", choose_nested(bench, eligible(bench, arms)))
    if "curve" in options.part:
        for count in possible(bench, options.labels):
            results.keep("curve", {str(count): learn(bench, (f"train_patients={count}",))})
        results.keep("curve", {"all": learn(bench, ())})
    draw_curves(results.everything, results.path.with_suffix(".png"))
    print(tables(results.everything))


if __name__ == "__main__":
    run_script(main, cli.AFTER_INTERRUPTION)
