"""Pretrain the encoder on frames without labels, and show what its latents hold."""

from functools import partial

from src.errors import end_at_once
from src.errors import run as run_script

if __name__ == "__main__":  # torch takes seconds to be imported, and Ctrl-C may come in them
    end_at_once()

from src import cli
from src.datasets.build import build_frames
from src.files import holds_locks
from src.networks import checkpoint as checkpoints
from src.networks.build import new_encoder
from src.settings import LatentSettings
from src.training import distributed
from src.training.engine import start_checkpoint
from src.training.latent_export import show_latents
from src.training.pretraining import EncoderTrainer, Pretraining
from src.training.session import Session
from src.training.taught import take_taught


def main() -> None:
    arguments = cli.parse_latent(__doc__ or "")
    pretrain(cli.latent_settings(arguments), arguments)


def pretrain(settings: LatentSettings, arguments: cli.Arguments) -> None:
    """One pretraining, tested on the patients of its split."""
    # ---------------------------------------------------------------- run
    session = Session(settings, arguments)
    run, device = session.run, session.device

    # ---------------------------------------------------------------- frames
    with distributed.writer_first():
        parts = build_frames(settings, session.tested_split)

    # ---------------------------------------------------------------- model
    if settings.encoder == "taught":
        take_taught(session, settings, parts)
        return
    encoder = new_encoder(settings).to(device)
    pretraining = Pretraining(encoder, settings, device)

    # ---------------------------------------------------------------- training
    if arguments.mode == "test":
        checkpoints.refuse_other_networks(checkpoints.load(run.best).settings, settings, run.best)
    else:
        start = start_checkpoint(settings, parts)
        trainer = partial(EncoderTrainer, pretraining, parts.train, parts.validation)
        session.train(trainer, start, parts, pretraining.dtype)

    # ---------------------------------------------------------------- test
    if not distributed.writes():
        return
    session.restore_best(encoder)
    scores = {f"val/{name}": value for name, value in pretraining.evaluate(parts.validation).items()}
    scores |= {f"test/{name}": value for name, value in pretraining.evaluate(parts.test).items()}

    # ---------------------------------------------------------------- results
    session.draw_curves()
    show_latents(encoder, parts, run, arguments, settings.seed)
    run.finish(scores | session.took())


if __name__ == "__main__":
    run_script(main, cli.AFTER_INTERRUPTION, holds_locks)
