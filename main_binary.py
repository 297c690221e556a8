"""Train a decoder on a frozen encoder's latents, or pixels, to tell sick from healthy; test it on unseen patients."""

import sys
import time

import numpy as np

from main_latent import pretrain
from src import cli
from src.audit.audit import run_audit
from src.datasets.build import Parts, build_diagnoses
from src.datasets.torch_datasets import DiagnosisDataset
from src.errors import run as run_script
from src.evaluation import figures
from src.evaluation.calibration import apply_temperature, reliability
from src.evaluation.judging import Predicted, Strata, judge_classifier, write_intervals
from src.evaluation.predictions import CLASSIFICATION_COLUMNS, classification_rows, write_predictions
from src.files import holds_locks
from src.networks import checkpoint as checkpoints
from src.prediction.record import write_record
from src.prediction.run import predict_files
from src.protocols import trials as protocols
from src.protocols.final import Expected
from src.settings import ClassificationSettings
from src.training import distributed
from src.training.decoder_task import evaluate
from src.training.decoder_trainer import DecoderTrainer
from src.training.diagnosis import DiagnosisTask
from src.training.engine import choose_device, fit, make_repeatable, resumed
from src.training.frozen import frozen_encoder, refuse_missing_encoder
from src.training.memory import peak_memory_mb
from src.training.regressions import run_regressions
from src.training.run_folder import RunFolder


def main() -> None:
    arguments = cli.parse_decoder(__doc__ or "")
    settings = cli.classification_settings(arguments)
    if arguments.input is not None:
        # Without a run of one's own, and without a word that one is meant, the weights that ship answer.
        run, asked = cli.run_to_predict_with(arguments, settings), cli.asked(arguments, settings)
        predict_files(run, "classification", arguments.input, arguments.output, arguments.device, asked)
        return
    protocols.run(settings, arguments, train_and_test, pretrain)


def train_and_test(
    settings: ClassificationSettings, arguments: cli.Arguments, expected: Expected | None = None
) -> None:
    """One training, tested on the patients of its split; one on all patients has the score that is `expected`."""
    started = time.perf_counter()

    # ---------------------------------------------------------------- run
    device = choose_device(arguments.device)
    distributed.join(device)
    make_repeatable(settings.seed)
    run = RunFolder(settings.output_root / settings.run_name)
    refuse_missing_encoder(arguments.mode, arguments.encoder_ckpt_root, settings)
    run.open(settings, arguments.mode, arguments.resume or arguments.overwrite)

    # ---------------------------------------------------------------- frames
    with distributed.writer_first():
        parts = build_diagnoses(settings, run.split if arguments.mode == "test" else None)
    if distributed.writes():
        shortcuts = run_audit(settings)
        shortcuts.record(run.results / "audit.json")

    # ---------------------------------------------------------------- model
    encoder, blank = frozen_encoder(arguments.mode, arguments.encoder_ckpt_root, settings, parts, run)
    task = DiagnosisTask(encoder, settings, device)

    # ---------------------------------------------------------------- training
    if arguments.mode == "train":
        state = resumed(run, blank) if arguments.resume else blank
        if distributed.writes():
            run.begin(settings, sys.argv, state is blank, task.latents.dtype)
            parts.save_split(run.split)
        fit(DecoderTrainer(task, parts, settings), run, expected.until(settings) if expected else settings, state)

    # ---------------------------------------------------------------- test
    if not distributed.writes():
        return
    best = checkpoints.load(run.best)
    checkpoints.restore(task.model.decoder, best.model, run.best)
    strata = Strata(settings.strata, shortcuts.patient_strata)
    scores = expected.write(run, parts.train.patients) if expected else test(task, parts, strata, run)
    write_record(run, task, parts, settings.palette)

    # ---------------------------------------------------------------- results
    history = run.history() or best.history
    figures.loss_curves(history, best.best_epoch, run.figures / "loss_curves.png")
    if arguments.mode == "train":
        scores |= {"epochs": len(history), "best_epoch": best.best_epoch}
        scores |= {"seconds": state.seconds + time.perf_counter() - started, "peak_memory_mb": peak_memory_mb(device)}
    if arguments.baselines and not settings.baseline:
        run_regressions(run.root / "baselines", task, parts, strata, settings.seed)
    run.finish(scores)


def test(task: DiagnosisTask, parts: Parts[DiagnosisDataset], strata: Strata, run: RunFolder) -> dict[str, float]:
    """Scores of the validation and test patients; what was predicted, intervals and pictures go into the folder."""
    scores: dict[str, float] = {}
    rows, predicted = [], {}
    for part, dataset in (("val", parts.validation), ("test", parts.test)):
        scores[f"{part}/loss"], probabilities = evaluate(task, dataset)
        predicted[part] = Predicted(dataset.patients, np.array(dataset.labels), probabilities)
        rows += classification_rows(part, dataset.names, dataset.labels, probabilities, strata.of_patient)
    write_predictions(run.results / "predictions.csv", CLASSIFICATION_COLUMNS, rows)
    verdict = judge_classifier(predicted["val"], predicted["test"], strata, parts.split.seed)
    write_intervals(run.results / "intervals.json", verdict.intervals)
    labels, probabilities = predicted["test"].by_patient()
    auc, picture = verdict.intervals["test/patient_auc"], run.figures / "roc_and_confusion.png"
    figures.roc_and_confusion(labels, probabilities, verdict.threshold, "test patients", picture, auc)
    calibrated = reliability(labels, apply_temperature(probabilities, verdict.temperature))
    figures.reliability_diagram(calibrated, "test patients", run.figures / "reliability.png")
    return scores | verdict.scores


if __name__ == "__main__":
    run_script(main, cli.AFTER_INTERRUPTION, holds_locks)
