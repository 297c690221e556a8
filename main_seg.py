"""Train a decoder on a frozen encoder's latents, or pixels, to find seven regions, and test it on unseen patients."""

from src.errors import end_at_once
from src.errors import run as run_script

if __name__ == "__main__":  # what follows takes seconds to be imported: Ctrl-C may come, and --mode predict needs half
    end_at_once()
    from src.prediction.command import predict_if_asked

    predict_if_asked(__doc__ or "", "segmentation")

from main_latent import pretrain
from src import cli
from src.datasets.build import Parts, build_regions
from src.datasets.torch_datasets import RegionDataset
from src.evaluation import figures
from src.evaluation.judging import judge_segmenter, worst_frames, write_intervals
from src.evaluation.predictions import SEGMENTATION_COLUMNS, segmentation_rows, write_predictions
from src.evaluation.segmentation import confusion_matrices, region_scores
from src.files import holds_locks
from src.prediction.record import write_record
from src.protocols import trials as protocols
from src.protocols.final import Expected
from src.settings import SegmentationSettings
from src.training import distributed
from src.training.decoder_task import evaluate
from src.training.decoder_trainer import DecoderTrainer
from src.training.frozen import frozen_encoder
from src.training.regions import RegionTask
from src.training.run_folder import RunFolder
from src.training.session import Session


def main() -> None:
    arguments = cli.parse_decoder(__doc__ or "")
    protocols.run(cli.segmentation_settings(arguments), arguments, train_and_test, pretrain)


def train_and_test(settings: SegmentationSettings, arguments: cli.Arguments, expected: Expected | None = None) -> None:
    """One training, tested on the patients of its split; one on all patients has the score that is `expected`."""
    # ---------------------------------------------------------------- run
    session = Session(settings, arguments)
    run, device = session.run, session.device

    # ---------------------------------------------------------------- frames
    with distributed.writer_first():
        parts = build_regions(settings, session.tested_split)

    # ---------------------------------------------------------------- model
    encoder, start = frozen_encoder(arguments.mode, arguments.encoder_ckpt_root, settings, parts, run)
    task = RegionTask(encoder, settings, parts.train.classes, device)

    # ---------------------------------------------------------------- training
    epochs = expected.epochs if expected else None
    session.train(lambda: DecoderTrainer(task, parts, settings), start, parts, task.latents.dtype, epochs)

    # ---------------------------------------------------------------- test
    if not distributed.writes():
        return
    session.restore_best(task.model.decoder)
    scores = expected.write(run, parts.train.patients) if expected else test(task, parts, run)
    write_record(run, task, parts, settings.palette)

    # ---------------------------------------------------------------- results
    session.draw_curves()
    run.finish(scores | session.took())


def test(task: RegionTask, parts: Parts[RegionDataset], run: RunFolder) -> dict[str, float]:
    """Scores of the validation and test frames; what was predicted, intervals and pictures go into the folder."""
    classes = task.classes
    scores: dict[str, float] = {}
    evaluated = {"val": evaluate(task, parts.validation), "test": evaluate(task, parts.test)}
    for part, (loss, maps) in evaluated.items():
        found = region_scores(confusion_matrices(maps[:, 0], maps[:, 1], len(classes.names)).sum(0), classes)
        scores |= {f"{part}/loss": loss} | {f"{part}/{name}": value for name, value in found.items()}
    maps_of_test = evaluated["test"][1]
    truth, predicted = maps_of_test[:, 0], maps_of_test[:, 1]
    patients = parts.test.patients
    by_image, intervals = judge_segmenter(patients, truth, predicted, classes, task.settings.seed)
    scores |= {name: found.value for name, found in intervals.items() if "/image_" in name and found.value is not None}
    write_intervals(run.results / "intervals.json", intervals)
    rows = segmentation_rows("test", parts.test.names, truth, predicted, by_image, classes)
    write_predictions(run.results / "predictions.csv", SEGMENTATION_COLUMNS, rows)
    figures.dice_boxes(by_image["dice"], classes, run.figures / "dice.png")
    for name, places in (("regions", parts.test.spread_places(5)), ("worst", worst_frames(by_image, 5))):
        frames = parts.test.__getitems__(places)["frame"].numpy()
        captions = [patients[place] for place in places]
        path = run.figures / f"{name}.png"
        figures.segmentation_sheet(frames, truth[places], predicted[places], captions, classes, path)
    return scores


if __name__ == "__main__":
    run_script(main, cli.AFTER_INTERRUPTION, holds_locks)
