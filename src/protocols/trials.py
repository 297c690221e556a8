"""Several trainings for one answer: folds, the published protocol, several seeds.

Each trial is an ordinary run in an output root of its own below the settings', with its split and its encoder:

    holdout, N seeds     seeds/seed_2021, seeds/seed_2022, ...
    kfold                kfold_5/seed_2021/fold_1, ...
    published            published/seed_2021; its two tasks divide differently, each with a split of its own there
    final                final; one training on all patients (src/protocols/final.py)

What the trials say together lies in the run folder beside them, such as kfold_5/dmr_runs_seg_h_enc_h_dec. Both tasks
and all four cases share the trials' splits and encoders. All seeds share the splits, which `seed` draws.
"""

import logging
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from src import cli
from src.datasets import splits
from src.datasets.build import draw_splits
from src.datasets.splits import Split
from src.errors import UserError
from src.evaluation import figures
from src.evaluation.summary import closing
from src.files import read_json
from src.networks import checkpoint as checkpoints
from src.protocols import final
from src.protocols.pooling import compare_with_baselines, pool
from src.protocols.trial import OF_DECODER, S, Trial, place, run_trial, trial_of
from src.settings import BASELINES, ClassificationSettings, DecoderRunSettings, LatentSettings
from src.training import distributed
from src.training.engine import choose_device
from src.training.regressions import REGRESSIONS
from src.training.run_folder import RunFolder

logger = logging.getLogger(__name__)


def run(
    settings: S,
    arguments: cli.Arguments,
    train_and_test: Callable[..., None],
    pretrain: Callable[[LatentSettings, cli.Arguments], None],
) -> None:
    """One run where the settings' protocol is holdout with one seed; else all trials, and what they say together.

    With `--baselines`, each run is followed by those of a random encoder and of raw pixels, and compared with all
    below its `baselines`. With `--resume`, trials that are finished stay as they are. A trial's encoder is pretrained
    unless there is a finished one of the same settings.
    """
    if settings.protocol == "final":
        _run_final(settings, arguments, train_and_test, pretrain)
        return
    if settings.protocol == "published":
        settings = _as_published(settings)
    variants = _variants(settings, arguments)
    folder = settings.output_root / variants[0].run_name
    several = settings.protocol != "holdout" or arguments.seeds > 1
    _refuse_unused(settings, arguments, several)
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # until the first run has a log of its own
    if not several:
        for variant in variants:
            train_and_test(variant, arguments)
    else:
        folder = place(settings) / variants[0].run_name
        distributed.join(choose_device(arguments.device))
        trials = _trials(settings, arguments.seeds)
        if arguments.mode == "train" and not arguments.resume and distributed.writes() and folder.exists():
            if not arguments.overwrite:
                RunFolder(folder).refuse_to_replace()
            shutil.rmtree(folder)  # what earlier trials said together
        took: list[float] = []  # of each trial that was not finished before
        for number, trial in enumerate(trials):
            if distributed.writes():
                logger.info("%s", _progress(number, trials, took))
            started = time.perf_counter()
            worked = [run_trial(trial, variant, arguments, train_and_test, pretrain) for variant in variants]
            if any(worked) and distributed.writes():
                took.append(time.perf_counter() - started)
                RunFolder(folder).metrics.unlink(missing_ok=True)  # the trials may say something else now
        if distributed.writes():
            _pool(settings, trials, variants, arguments.mode)
    if arguments.baselines and distributed.writes():
        compare_with_baselines(settings, folder)


def _variants(settings: S, arguments: cli.Arguments) -> list[S]:
    """The settings themselves, and with `--baselines` those of a random encoder and of raw pixels."""
    variants = [settings]
    if arguments.baselines:
        if settings.decoder_input != "latents":
            seen = settings.decoder_input
            raise UserError(f"decoder_input: {seen}: --baselines compares latents alone, say decoder_input=latents")
        if settings.encoder == "taught":
            raise UserError("--baselines: compares latents of encoder: cuts alone, not of encoder: taught")
        variants += [settings.model_copy(update={"decoder_input": name, "baseline": True}) for name in BASELINES]
    return variants


def _run_final(
    settings: S,
    arguments: cli.Arguments,
    train_and_test: Callable[..., None],
    pretrain: Callable[[LatentSettings, cli.Arguments], None],
) -> None:
    """One training on all patients, told what k-fold says of it; its encoder first where it needs one."""
    if arguments.seeds > 1 or arguments.baselines:
        raise UserError("--protocol final: is one training, without --seeds and --baselines")
    if settings.train_patients is not None:
        raise UserError("train_patients: is for learning curves; the final model is trained on all patients")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    told = final.expected(settings)
    logger.info("k-fold kept epoch %s: the final model trains for %d", ", ".join(map(str, told.kept)), told.epochs)
    settings = final.as_final(settings)
    _refuse_unused(settings, arguments, several=True)
    trial = Trial(settings.seed, None, place(settings))
    last = RunFolder(trial.root / settings.run_name).last
    if arguments.resume and last.is_file() and checkpoints.load(last).epoch > told.epochs:
        raise UserError(f"{last}: was trained for longer than k-fold says by now; --overwrite starts afresh")
    run_trial(trial, settings, arguments, partial(train_and_test, expected=told), pretrain)


def _as_published(settings: S) -> S:
    """With what the published code does beside its splits.

    Its encoder sees the test patients' frames, and its classifier keeps the epoch with the fewest errors on them, the
    segmenter that of the least loss: the default, which settings that say something else replace.
    """
    changes: dict[str, Any] = {"transductive": True}
    if isinstance(settings, ClassificationSettings) and settings.select_by == "loss":
        changes["select_by"] = "errors"
    return settings.model_copy(update=changes)


def _refuse_unused(settings: DecoderRunSettings, arguments: cli.Arguments, several: bool) -> None:
    """`UserError` for what the command line says of encoders that this run would not read."""
    if arguments.encoder_overrides:
        if not several or arguments.mode != "train":
            raise UserError("--encoder-set: goes with --mode train and --protocol or --seeds, which pretrain encoders")
        if not settings.pretrains_encoder:
            name = "encoder" if settings.needs_encoder else "decoder_input"
            raise UserError(f"--encoder-set: no encoder is pretrained for {name}: {getattr(settings, name)}")
        taken = sorted(cli.named(arguments.encoder_overrides) & OF_DECODER)
        if taken:
            raise UserError(
                f"--encoder-set: {', '.join(taken)}: an encoder takes it from its decoder's settings (--set)"
            )
    if arguments.encoder_ckpt_root is not None:
        if several:
            raise UserError("--encoder-ckpt-root: each trial of --protocol and --seeds pretrains an encoder of its own")
        if not settings.needs_encoder:
            raise UserError(f"--encoder-ckpt-root: decoder_input: {settings.decoder_input} needs no encoder")


def _pool(settings: S, trials: Sequence[Trial], variants: Sequence[S], mode: str) -> None:
    """Pool the runs of every variant, and the diagnosis's regressions beside them."""
    names = [variant.run_name for variant in variants]
    if len(variants) > 1 and isinstance(settings, ClassificationSettings):
        names += [f"{names[0]}/baselines/{name}" for name in REGRESSIONS]
    for name in names:
        pool(settings, trials, name, place(settings) / name)
        runs = [RunFolder(trial.root / name) for trial in trials if (trial.root / name / "logs").is_dir()]
        if runs:  # regressions have no epochs
            kept = [int(read_json(run.metrics, "the metrics").get("best_epoch", 0)) for run in runs]
            target = RunFolder(place(settings) / name).figures / "loss_curves.png"
            figures.trial_curves([run.history() for run in runs], kept, target)
    if mode == "train":  # a test would write settings that nothing was trained with
        for variant in variants:
            RunFolder(place(settings) / variant.run_name).write_settings(variant, sys.argv)
    for name in names:
        logger.info("pooled: %s", closing(place(settings) / name))


def _progress(number: int, trials: Sequence[Trial], took: Sequence[float]) -> str:
    """Which trial comes now, and how long all that are left may take, by the seconds that others took."""
    trial = trials[number]
    which = f"seed {trial.seed}" + (f", fold {trial.fold}" if trial.fold is not None else "")
    left = sum(took) / max(len(took), 1) * (len(trials) - number)
    words = f"{left / 3600:.0f} h" if left >= 5400 else f"{max(left / 60, 1):.0f} min"
    return f"trial {number + 1} of {len(trials)} ({which})" + (f", about {words} left" if took else "")


def _trials(settings: DecoderRunSettings, seeds: int) -> list[Trial]:
    """All trials of the settings' protocol, the split of each saved in its output root."""
    with distributed.writer_first():
        drawn = draw_splits(settings)
    trials = []
    for seed in range(settings.seed, settings.seed + seeds):
        for fold, split in enumerate(drawn, 1):
            trials.append(trial_of(settings, seed, fold))
            if distributed.writes():
                _keep_split(trials[-1].root / settings.split_name, replace(split, seed=seed), place(settings))
    distributed.wait_for_all()
    return trials


def _keep_split(path: Path, split: Split, trials: Path) -> None:
    """Save a trial's split where there is none; `UserError` where there is another."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        splits.save(path, split)
    elif splits.load(path) != split:
        raise UserError(
            f"{path}: was drawn from other patients, labels, folds, test_ratio or seed; use another output_root, or "
            f"delete {trials}"
        )
