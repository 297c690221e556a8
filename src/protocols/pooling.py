"""What several trials (folds, seeds) say together: test predictions pooled over folds, scores averaged over seeds."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from src.errors import UserError
from src.evaluation.auc import PairAUC, auc_over_pairs
from src.evaluation.intervals import exact_where_constant, patient_bootstrap, score
from src.evaluation.judging import write_intervals
from src.evaluation.predictions import write_predictions
from src.evaluation.tested import Line, Tested, by_seed, differences, mean_of, read_tested
from src.files import without_nan, write_json
from src.places import RunFiles
from src.protocols.trial import Trial
from src.settings import DecoderRunSettings


def pool(settings: DecoderRunSettings, trials: Sequence[Trial], name: str, folder: Path) -> None:
    """Write predictions.csv, metrics.json, intervals.json, trials.json and pictures of all trials' runs `name`.

    Test predictions are pooled over the folds of each seed; scores are means over seeds, and an interval is that of the
    mean, with the same patients resampled in all seeds. A patient is called sick by the threshold of its own fold. The
    AUC compares probabilities of different trainings; beside it stands the one over pairs of one fold.
    """
    run = RunFiles(folder)
    run.figures.mkdir(parents=True, exist_ok=True)
    lines: list[Line] = []
    for trial in trials:
        added = {"fold": str(trial.fold or ""), "seed": str(trial.seed)}
        lines += [line | added for line in read_tested(settings, RunFiles(trial.root / name).results)]
    columns = [column for column in lines[0] if column not in ("part", "patient", "frame")]
    ordered = ([line[column] for column in ("part", "patient", "frame", *columns)] for line in lines)
    write_predictions(run.results / "predictions.csv", columns, ordered)

    seeds = by_seed(settings, lines)
    tested = list(seeds.values())
    if any(of.patients != tested[0].patients for of in tested):
        raise UserError(f"{folder}: the seeds were tested on different frames; train them again")
    intervals = patient_bootstrap(tested[0].patients, mean_of(seeds), settings.seed)
    for measure in tested[0].trials:  # a mean of 1 (or 0) is one in every seed, and the same patients are no new trials
        fewest = min(of.trials[measure] for of in tested)
        intervals[measure] = exact_where_constant(intervals[measure], fewest)
    values = [score(of.statistic, len(of.patients)) | of.others for of in tested]
    across = {f"test/{measure}": _spread([of[measure] for of in values]) for measure in values[0]}
    metrics = {measure: spread["mean"] for measure, spread in across.items()}
    for alike, within in _within(tested, settings.seed).items():
        key = f"patient_auc_within_{alike}"
        intervals[key] = within.interval
        metrics |= {f"test/{key}": within.interval.value, f"test/{key}_pairs": within.pairs}
    write_json(run.metrics, metrics)
    write_intervals(run.intervals, {f"test/{measure}": found for measure, found in intervals.items()})
    write_json(run.trials, _record(settings, trials, name) | {"across_seeds": across})
    tested[0].draw(run.figures, "test patients" + (f", seed {trials[0].seed}" if len(seeds) > 1 else ""))


def compare_with_baselines(settings: DecoderRunSettings, folder: Path) -> None:
    """Write baselines/differences.json: the run's scores minus those of each run below its `baselines`, paired."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((folder / "baselines").glob("*/results/predictions.csv")):
        other = path.parent.parent
        found[other.name] = {name: asdict(interval) for name, interval in differences(settings, folder, other).items()}
    write_json(folder / "baselines" / "differences.json", found)


def _within(tested: Sequence[Tested], seed: int) -> dict[str, PairAUC]:
    """AUC over the pairs that are alike in each of the named, the mean over seeds."""
    known = [of.pairs for of in tested if of.pairs is not None]
    if not known:
        return {}
    labels, wins = known[0].labels, np.mean([pairs.wins for pairs in known], axis=0)
    return {name: auc_over_pairs(labels, wins * alike, alike, seed) for name, alike in known[0].alike.items()}


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean and standard deviation over seeds; None where there is no such number."""
    known = np.array(values)
    spread = float(known.std(ddof=1)) if len(values) > 1 else float("nan")
    numbers = without_nan({"mean": float(known.mean()), "sd": spread})
    return {**numbers, "values": [None if np.isnan(value) else value for value in values]}


def _record(settings: DecoderRunSettings, trials: Sequence[Trial], name: str) -> dict[str, Any]:
    shared, folds = settings.output_root, settings.folds if settings.protocol == "kfold" else None
    entries = [{"seed": t.seed, "fold": t.fold, "folder": str((t.root / name).relative_to(shared))} for t in trials]
    return {"protocol": settings.protocol, "folds": folds, "trials": entries}
