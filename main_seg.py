"""Train a decoder on a frozen encoder's latents to find seven regions, and test it on patients it never saw."""

import sys
import time

from src import cli
from src.datasets.build import build_regions
from src.errors import run as run_script
from src.evaluation import figures
from src.evaluation.metrics import dice_and_iou, region_scores
from src.evaluation.predictions import segmentation_rows, write_predictions
from src.training import checkpoint as checkpoints
from src.training.decoding import as_trainable, evaluate, frozen_encoder, predicted_classes, segmentation_task
from src.training.engine import choose_device, fit, make_repeatable, resumed
from src.training.run_folder import RunFolder, peak_memory_mb


def main() -> None:
    started = time.perf_counter()

    # ---------------------------------------------------------------- settings
    arguments = cli.parse_decoder(__doc__ or "")
    settings = cli.segmentation_settings(arguments)
    device = choose_device(arguments.device)
    make_repeatable(settings.seed)
    run = RunFolder(settings.output_root / settings.run_name)
    run.open(settings, arguments.mode)

    # ---------------------------------------------------------------- frames
    parts = build_regions(settings, run.split if arguments.mode == "test" else None)
    names, background = parts.train.class_names, parts.train.background

    # ---------------------------------------------------------------- model
    encoder, blank = frozen_encoder(arguments.mode, arguments.encoder_ckpt_root, settings, parts, run)
    task = segmentation_task(encoder, settings, names, background)
    task.model.to(device)

    # ---------------------------------------------------------------- training
    if arguments.mode == "train":
        state = resumed(run, blank) if arguments.resume else blank
        run.begin(settings, sys.argv, afresh=state is blank)
        parts.save_split(run.split)
        fit(as_trainable(task, parts, settings, device), run, settings, state)

    # ---------------------------------------------------------------- test
    best = checkpoints.load(run.best)
    checkpoints.restore(task.model.decoder, best.model, run.best)
    scores: dict[str, float] = {}
    rows = []
    for part, dataset in (("val", parts.validation), ("test", parts.test)):
        scores[f"{part}/loss"], confusion = evaluate(task, dataset, device)
        found = region_scores(confusion.sum(0), names, background)
        scores |= {f"{part}/{name}": value for name, value in found.items()}
        rows += segmentation_rows(part, dataset.names, dice_and_iou(confusion)[0])
    write_predictions(run.results / "predictions.csv", [f"dice/{name}" for name in names], rows)

    # ---------------------------------------------------------------- results
    history = run.history() or best.history
    figures.loss_curves(history, best.best_epoch, run.figures / "loss_curves.png")
    shown = parts.test.spread(5)
    truth, predicted = predicted_classes(task.model, shown, device)
    frames = shown.everything()["frame"].numpy()
    captions = [patient for patient, _ in shown.names]
    figures.segmentation_sheet(frames, truth, predicted, captions, (names, background), run.figures / "regions.png")
    if arguments.mode == "train":
        scores |= {"epochs": len(history), "best_epoch": best.best_epoch}
        scores |= {"seconds": time.perf_counter() - started, "peak_memory_mb": peak_memory_mb(device)}
    run.write_metrics(scores)


if __name__ == "__main__":
    run_script(main)
