"""Pretrain the encoder on frames without labels, and show what its latents hold."""

import sys
import time

from src import cli
from src.datasets.build import build_frames
from src.errors import run as run_script
from src.evaluation import figures
from src.files import holds_locks
from src.networks import checkpoint as checkpoints
from src.networks.build import new_encoder
from src.settings import LatentSettings
from src.training import distributed
from src.training.engine import blank_checkpoint, choose_device, fit, make_repeatable, resumed
from src.training.latent_export import export_latents
from src.training.memory import peak_memory_mb
from src.training.pretraining import EncoderTrainer, Pretraining, encode_for_pictures
from src.training.run_folder import RunFolder
from src.training.taught import take_taught


def main() -> None:
    arguments = cli.parse_latent(__doc__ or "")
    pretrain(cli.latent_settings(arguments), arguments)


def pretrain(settings: LatentSettings, arguments: cli.Arguments) -> None:
    """One pretraining, tested on the patients of its split."""
    started = time.perf_counter()

    # ---------------------------------------------------------------- run
    device = choose_device(arguments.device)
    distributed.join(device)
    make_repeatable(settings.seed)
    run = RunFolder(settings.output_root / settings.run_name)
    run.open(settings, arguments.mode, arguments.resume or arguments.overwrite)

    # ---------------------------------------------------------------- frames
    with distributed.writer_first():
        parts = build_frames(settings, run.split if arguments.mode == "test" else None)

    # ---------------------------------------------------------------- model
    if settings.encoder == "taught":
        take_taught(settings, arguments, run, parts, device)
        return
    encoder = new_encoder(settings).to(device)
    pretraining = Pretraining(encoder, settings, device)

    # ---------------------------------------------------------------- training
    if arguments.mode == "test":
        checkpoints.refuse_other_networks(checkpoints.load(run.best).settings, settings, run.best)
    else:
        blank = blank_checkpoint(settings, parts)
        state = resumed(run, blank) if arguments.resume else blank
        if distributed.writes():
            run.begin(settings, sys.argv, state is blank, pretraining.dtype)
            parts.save_split(run.split)
        fit(EncoderTrainer(pretraining, parts.train, parts.validation), run, settings, state)

    # ---------------------------------------------------------------- test
    if not distributed.writes():
        return
    best = checkpoints.load(run.best)
    checkpoints.restore(encoder, best.model, run.best)
    scores = {f"val/{name}": value for name, value in pretraining.evaluate(parts.validation).items()}
    scores |= {f"test/{name}": value for name, value in pretraining.evaluate(parts.test).items()}

    # ---------------------------------------------------------------- results
    history = run.history() or best.history
    figures.loss_curves(history, best.best_epoch, run.figures / "loss_curves.png")
    shown = parts.test.spread(4)
    pictures = encode_for_pictures(encoder, shown, device)
    names = [patient for patient, _ in shown.names]
    figures.encoder_sheet(*pictures, names, settings.seed, run.figures / "latents.png")
    export_latents(encoder, parts, run.results, arguments.export_latents, arguments.clusters, settings.seed)
    if arguments.mode == "train":
        scores |= {"epochs": len(history), "best_epoch": best.best_epoch}
        scores |= {"seconds": state.seconds + time.perf_counter() - started, "peak_memory_mb": peak_memory_mb(device)}
    run.finish(scores)


if __name__ == "__main__":
    run_script(main, cli.AFTER_INTERRUPTION, holds_locks)
