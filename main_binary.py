"""Train a decoder on a frozen encoder's latents, or pixels, to tell sick from healthy; test it on unseen patients."""

from src.errors import end_at_once
from src.errors import run as run_script

if __name__ == "__main__":  # what follows takes seconds to be imported: Ctrl-C may come, and --mode predict needs half
    end_at_once()
    from src.prediction.command import predict_if_asked

    predict_if_asked(__doc__ or "", "classification")

import numpy as np

from main_latent import pretrain
from src import cli
from src.audit.audit import run_audit
from src.datasets.build import Parts, build_diagnoses
from src.datasets.torch_datasets import DiagnosisDataset
from src.evaluation import figures
from src.evaluation.calibration import apply_temperature, reliability
from src.evaluation.judging import Predicted, Strata, judge_and_write
from src.files import holds_locks
from src.prediction.record import write_record
from src.protocols import trials as protocols
from src.protocols.final import Expected
from src.settings import ClassificationSettings
from src.training import distributed
from src.training.decoder_task import evaluate
from src.training.decoder_trainer import DecoderTrainer
from src.training.diagnosis import DiagnosisTask
from src.training.frozen import frozen_encoder
from src.training.regressions import run_regressions
from src.training.run_folder import RunFolder
from src.training.session import Session


def main() -> None:
    arguments = cli.parse_decoder(__doc__ or "")
    protocols.run(cli.classification_settings(arguments), arguments, train_and_test, pretrain)


def train_and_test(
    settings: ClassificationSettings, arguments: cli.Arguments, expected: Expected | None = None
) -> None:
    """One training, tested on the patients of its split; one on all patients has the score that is `expected`."""
    # ---------------------------------------------------------------- run
    session = Session(settings, arguments)
    run, device = session.run, session.device

    # ---------------------------------------------------------------- frames
    with distributed.writer_first():
        parts = build_diagnoses(settings, session.tested_split)
    if distributed.writes():
        shortcuts = run_audit(settings)
        shortcuts.record(run.results / "audit.json")

    # ---------------------------------------------------------------- model
    encoder, start = frozen_encoder(arguments.mode, arguments.encoder_ckpt_root, settings, parts, run)
    task = DiagnosisTask(encoder, settings, device)

    # ---------------------------------------------------------------- training
    epochs = expected.epochs if expected else None
    session.train(lambda: DecoderTrainer(task, parts, settings), start, parts, task.latents.dtype, epochs)

    # ---------------------------------------------------------------- test
    if not distributed.writes():
        return
    session.restore_best(task.model.decoder)
    strata = Strata(settings.strata, shortcuts.patient_strata)
    scores = expected.write(run, parts.train.patients) if expected else test(task, parts, strata, run)
    write_record(run, task, parts, settings.palette)

    # ---------------------------------------------------------------- results
    session.draw_curves()
    scores |= session.took()
    if arguments.baselines and not settings.baseline:
        run_regressions(run.root / "baselines", task, parts, strata, settings.seed)
    run.finish(scores)


def test(task: DiagnosisTask, parts: Parts[DiagnosisDataset], strata: Strata, run: RunFolder) -> dict[str, float]:
    """Scores of the validation and test patients; what was predicted, intervals and pictures go into the folder."""
    scores: dict[str, float] = {}
    predicted = []
    for part, dataset in (("val", parts.validation), ("test", parts.test)):
        scores[f"{part}/loss"], probabilities = evaluate(task, dataset)
        predicted.append(Predicted(dataset.names, np.array(dataset.labels), probabilities))
    judged, intervals = judge_and_write(run.results, predicted, strata, parts.split.seed)
    labels, probabilities = predicted[-1].by_patient()
    auc, picture = intervals["test/patient_auc"], run.figures / "roc_and_confusion.png"
    figures.roc_and_confusion(labels, probabilities, judged["threshold"], "test patients", picture, auc)
    calibrated = reliability(labels, apply_temperature(probabilities, judged["temperature"]))
    figures.reliability_diagram(calibrated, "test patients", run.figures / "reliability.png")
    return scores | judged


if __name__ == "__main__":
    run_script(main, cli.AFTER_INTERRUPTION, holds_locks)
