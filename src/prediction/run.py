"""`--mode predict`: a folder or a file in, a folder of pictures, tables and a page out."""

from __future__ import annotations

import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path, PurePath, PurePosixPath
from threading import BoundedSemaphore
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from src.datasets.source import Skipped
from src.errors import Stopped, UserError
from src.files import NameRefusedError, atomic_write, resolved
from src.networks import checkpoint as checkpoints
from src.places import SCRIPTS
from src.prediction.ensemble import Ensemble
from src.prediction.identity import identities, in_order
from src.prediction.inputs import FrameFiles, Thermogram, find_frames, read_thermogram
from src.prediction.output import LABELS, OVERLAYS, PICTURES, Collected, write_all
from src.prediction.output_names import output_names, portable
from src.prediction.pictures import excess_picture, label_picture, overlay, picture, png
from src.prediction.predictors import (
    NOTICE,
    Classification,
    Classifier,
    Result,
    Segmentation,
    Segmenter,
    load_classifier,
    load_segmenter,
)
from src.prediction.series import Answer, carried
from src.prediction.trained import Frame, Task, Trained
from src.settings import TASKS
from src.settings.fields import Kind, fields_of
from src.training.run_folder import RunFolder
from src.training.stopping import StopRequests

logger = logging.getLogger(__name__)

_STOPPING = "finishing the frames at hand, then writing the tables; the same once more ends at once, without them"
_MOST_THREADS = 4  # a frame of 8 megapixels takes 400 MB while its regions are drawn
_BEGUN = 4  # batches or frames: enough for each thread to have one more to begin with
T = TypeVar("T")
R = TypeVar("R")


def predict_files(
    run: Path | None,
    task: Task,
    source: Path,
    output: Path | None,
    device: str,
    asked: Mapping[str, Any] | None = None,
) -> None:
    """Predict every frame of a folder or the one of a file with a trained run, and write all there is to see.

    Without a run, the weights that ship answer, and `output` is by default below predictions in the
    current folder instead of the run's. Frames that cannot be read are skipped and counted. Raises `UserError` where
    nothing can be read, the run cannot be used or was trained with other settings than those `asked` for, or the output
    folder holds something already; `Stopped` after Ctrl-C, once what is done is written. For the main thread.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    with StopRequests(_STOPPING) as stop:
        predictor = _predictor(run, task, device, asked or {})
        out = output or (run or Path()) / "predictions" / (resolved(source).stem or "input")
        _check(source, out)
        if run is None:
            what = "regions" if task == "segmentation" else "evidence of tumours, uncalibrated,"
            logger.info("no trained run is named: %s by %s; output: %s", what, predictor.trained.name, out)
        skipped = Skipped()
        frames = find_frames(source, skipped)
        with _whole_or_absent(out):
            collected = _collected(predictor, frames, out, skipped, stop)
            skipped.report(logger)
            done = collected.done
            if stop.asked is not None and not done:
                raise Stopped(stop.asked, "interrupted: no frame is done, nothing is written")
            if not done:
                reasons = "; ".join(sorted(skipped.reasons))
                raise UserError(f"{source}: none of {len(frames)} frame(s) could be read: {reasons}")
            is_short = stop.asked is not None and done < len(frames)  # not where it came while the last were done
            write_all(out, source, collected, skipped, len(frames) if is_short else None)
        _tell(collected, out)
        if stop.asked is not None:
            raise Stopped(stop.asked, f"interrupted: {done} of {len(frames)} frame(s) are done and lie in {out}")


def _collected(
    predictor: Segmenter | Classifier, frames: Sequence[FrameFiles], out: Path, skipped: Skipped, stop: StopRequests
) -> Collected:
    """Predicts the frames, writes their pictures and collects the rest."""
    by_name = {frame.name: frame for frame in frames}
    known, collected, names = identities(by_name), Collected(predictor), output_names(by_name)

    def finished(answer: Answer) -> tuple[Result, PurePosixPath | str]:
        result = predictor.result(answer.thermogram, answer.outputs)
        return result, _write_pictures(out, result, names[answer.thermogram.name])

    with _workers(predictor.trained) as pool:
        # A diagnosis is carried along with no series.
        series = {name: each.series for name, each in known.items()} if isinstance(predictor, Segmenter) else {}
        ordered = [by_name[name] for name in in_order(known)]
        answers = _answers(predictor.trained, ordered, series, skipped, pool, stop)
        for result, name in _ahead(pool, finished, carried(answers)):
            frame = result.thermogram
            if isinstance(name, str):
                skipped.add("frames whose pictures cannot be written", f"{frame.file}: {name}")
                continue
            if name != PurePosixPath(frame.name):
                skipped.add("frames whose pictures got another name", f"{frame.file}: {name}")
            collected.add(result, known[frame.name], name)
    return collected


@contextmanager
def _workers(trained: Trained) -> Iterator[ThreadPoolExecutor]:
    """Threads that each do all there is to a few frames, networks included: nobody waits for the slowest at each layer.

    Where networks are too large to be computed side by side, one takes all cores.
    """
    cores = torch.get_num_threads()
    workers = min(_MOST_THREADS, cores)
    torch.set_num_threads(max(1, cores // min(workers, trained.side_by_side)))  # what new threads begin with
    try:
        with ThreadPoolExecutor(workers) as pool:
            yield pool
    finally:
        torch.set_num_threads(cores)


def _ahead(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What threads make of the items, in their order; few are begun before they are asked for."""
    begun: deque[Future[R]] = deque()
    for item in items:
        begun.append(pool.submit(work, item))
        if len(begun) > _BEGUN:
            yield begun.popleft().result()
    for future in begun:
        yield future.result()


def _tell(collected: Collected, out: Path) -> None:
    unlike = f", {collected.unlike} unlike the training data" * (collected.trained.record.typicality is not None)
    logger.info("%d frame(s)%s: %s", collected.done, unlike, out)
    if collected.coloured and collected.trained.record.palette is None:
        logger.warning(collected.colouring)
    if collected.taught:
        logger.warning(collected.known_patients)
    logger.info("look at %s", out / "index.html")
    logger.info(NOTICE)
    if collected.coco is not None:
        logger.info(collected.warned)


def _predictor(run: Path | None, task: Task, device: str, asked: Mapping[str, Any]) -> Segmenter | Classifier:
    """A run's predictor, refused where it was trained with other settings than those asked for; or the shipped one."""
    if run is None:
        return load_segmenter(device=device) if task == "segmentation" else load_classifier(device=device)
    _refuse_untested(RunFolder(run), task)
    predictor = load_segmenter(run, device) if task == "segmentation" else load_classifier(run, device)
    trained = predictor.trained
    first = trained.members[0].run if isinstance(trained, Ensemble) else trained.run
    best = (first or RunFolder(run)).best
    free = fields_of(TASKS[task], Kind.MACHINE, Kind.LENGTH, Kind.PLACE)  # which have no say in it
    relevant = {name: value for name, value in asked.items() if name not in free}
    trained_with = checkpoints.load(best).settings
    checkpoints.refuse_other_settings(trained_with, relevant, best)
    if isinstance(trained, Ensemble):
        logger.info("%s: %d models answer together, with the mean of their probabilities", run, trained.models)
    elif trained_with.get("protocol") == "final":
        logger.info("%s: trained on all patients; what it is expected to score is k-fold's", run)
    if RunFolder(run).last.is_file() and not RunFolder(run).is_finished:
        epoch = predictor.trained.best_epoch
        logger.warning("%s: its training has not ended: its best epoch until now answers, number %d", run, epoch)
    return predictor


def _refuse_untested(run: RunFolder, task: Task) -> None:
    """`UserError` where training was stopped and nothing tested, so that what prediction needs is not there yet."""
    if run.best.is_file() and run.last.is_file() and not run.prediction.exists() and not run.is_finished:
        again = f"python {SCRIPTS[task]} --mode"
        raise UserError(
            f"{run.root}: its training has not ended: go on with it ({again} train --resume), or make its best epoch "
            f"until now usable ({again} test), with the same --cfg-path and --set"
        )


def _check(source: Path, out: Path) -> None:
    within = (resolved(out), *resolved(out).parents)
    if source.is_dir() and resolved(source) in within:
        raise UserError(f"{out}: the output may not lie in the input {source}; give another --output")
    try:
        taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise UserError(f"{out}: cannot be read: {error.strerror}") from None
    if taken:
        raise UserError(f"{out} holds something already; give --output a new or empty folder")
    above = next(path for path in within if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = "cannot be written to" if above.is_dir() else "is no folder"
        raise UserError(f"{out}: the output cannot be written, since {above} {what}; give another --output")


@contextmanager
def _whole_or_absent(out: Path) -> Iterator[None]:
    """Removes what was written to a folder, which was new or empty before, where no tables can follow: pictures alone
    would pass for a prediction, and keep the next one from being written there."""
    was_there = out.exists()
    try:
        yield
    except Exception:  # whatever it was, a GPU without memory among it
        shutil.rmtree(out, ignore_errors=True)  # a second error would hide why
        if was_there:
            out.mkdir(exist_ok=True)
        raise


def _answers(
    trained: Trained,
    frames: Sequence[FrameFiles],
    series: Mapping[PurePath, str],
    skipped: Skipped,
    pool: ThreadPoolExecutor,
    stop: StopRequests,
) -> Iterator[Answer]:
    """What the networks say of each frame, until asked to stop; those that cannot be read are added to `skipped`."""
    free = BoundedSemaphore(trained.side_by_side)

    def answered(chunk: Sequence[FrameFiles]) -> tuple[int, list[Answer], Skipped]:
        notes, thermograms, usable = Skipped(), list[Thermogram](), list[Frame]()
        for files in chunk:
            try:
                thermogram = read_thermogram(files, notes)
                usable.append(trained.frame_of(thermogram, notes))
                thermograms.append(thermogram)
            except UserError as error:
                notes.add(f"frames that cannot be read: {error}", str(files.main))
        with free:
            outputs = trained(usable) if usable else []
        found = [Answer(each, series.get(each.name, ""), said) for each, said in zip(thermograms, outputs, strict=True)]
        return len(chunk), found, notes

    chunks = (frames[start : start + trained.at_once] for start in range(0, len(frames), trained.at_once))
    with tqdm(total=len(frames), desc="predicting", unit="frame", disable=None) as bar:
        for count, answers, notes in _ahead(pool, answered, takewhile(lambda _: stop.asked is None, chunks)):
            skipped.extend(notes)
            yield from answers
            bar.update(count)


def _write_pictures(out: Path, result: Result, name: PurePosixPath) -> PurePosixPath | str:
    """Write a frame's pictures; returns what they are called, or why the file system takes them by no name.

    One bad name does not end a prediction of many; a full disk does.
    """
    written = {PICTURES: picture(result)}
    if isinstance(result, Segmentation):
        written |= {OVERLAYS: png(overlay(result)), LABELS: label_picture(result)}
    if isinstance(result, Classification) and result.excess is not None:
        written |= {OVERLAYS: png(excess_picture(result))}
    refusal = ""
    for called in (name, portable(name)):
        try:
            for place, content in written.items():
                with atomic_write(out / place.of(called)) as file:
                    file.write(content)
        except NameRefusedError as error:
            refusal = str(error)
        else:
            return called
    return refusal
