"""Can the diagnosis be told from what is not anatomy? `python -m src.audit --cfg FILE [--set KEY=VALUE ...]`

Each trait of the frames (year, file size, gray range ...) alone, and all of them together, predict the diagnosis of
patients that were held out. One that succeeds is a shortcut: a classifier may score as well without seeing a tumour.
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata
from sklearn.model_selection import RepeatedStratifiedKFold

from src.audit.traits import TRAITS, read_traits
from src.datasets.build import list_diagnosed
from src.datasets.source import Skipped
from src.errors import UserError
from src.evaluation.auc import PairAUC, auc_over_pairs, same_stratum, wins_of
from src.evaluation.intervals import LEVEL
from src.files import write_json
from src.settings import ClassificationSettings
from src.settings.file import load, load_run

logger = logging.getLogger(__name__)

TOGETHER = "all together"
WARN_ABOVE = 0.65
MIN_PATIENTS = 10  # of each diagnosis: with fewer, two patients in a fold decide
FOLDS, REPEATS, SHUFFLES = 5, 10, 400
SEED = 2021  # of the folds
FEW = 12  # so many values at most are told apart one by one; more are cut into fifths
PENALTY = 3.0  # on squared weights, of which a trait has seven or so


@dataclass(frozen=True)
class TraitAudit:
    """How well one trait alone tells the diagnosis; `missing` patients do not have it, which counts as a value too."""

    trait: str
    missing: int
    auc: PairAUC
    corrected_low: float | None
    """Lower end of the AUC's interval at a level that is corrected for the number of traits tried (Bonferroni)."""
    p: float
    """Share of shuffled diagnoses that are told as well. The interval holds the predictions fixed and does not know how
    they vary with the patients trained on, which with few sick patients is much."""
    within: PairAUC | None
    """The same predictions over pairs of patients of one stratum; None for what the strata are made of."""

    warns: bool
    """Whether the diagnosis can be told from it."""


@dataclass(frozen=True)
class AuditResult:
    """What the audit found; `patient_strata` is each patient's stratum, None where it is unknown."""

    healthy: int
    sick: int
    strata: tuple[str, ...]
    patient_strata: dict[str, str | None]
    traits: tuple[TraitAudit, ...]
    same_in_all: tuple[str, ...]
    reason: str = ""
    """Why nothing was audited."""

    @property
    def warnings(self) -> list[str]:
        """One line for each trait that tells the diagnosis."""
        return [
            f"the diagnosis can be told from what is not anatomy: {row.trait}, AUC {row.auc.interval}"
            for row in self.traits
            if row.warns
        ]

    def table(self) -> str:
        """The result as text, warnings first."""
        lines = [f"WARNING: {warning}" for warning in self.warnings]
        lines.append(f"shortcut audit of {self.healthy} healthy and {self.sick} sick patients")
        if self.reason:
            lines.append(f"not answered: {self.reason}")
        else:
            within = f"within the same {' and '.join(self.strata)}" if self.strata else ""
            lines.append(f"{'trait':16}{'missing':>8}  {'AUC (95%)':20}{'corrected':>10}  {'p':5}  {within}".rstrip())
        for row in self.traits:
            low = "-" if row.corrected_low is None else f"{row.corrected_low:.2f}"
            told = row.within or ("the stratum itself" if row.trait in self.strata else "")
            lines.append(
                f"{row.trait:16}{row.missing:8}  {row.auc.interval!s:20}{low:>10}  {row.p:5.3f}  {told}".rstrip()
            )
        unknown = sum(stratum is None for stratum in self.patient_strata.values())
        if self.strata and unknown:
            lines.append(f"in no pair within strata, because {' or '.join(self.strata)} is unknown: {unknown} patients")
        if self.same_in_all:
            lines.append(f"the same in all patients, or missing: {', '.join(self.same_in_all)}")
        return "\n".join(lines)

    def record(self, path: Path) -> None:
        """Write the result as JSON and log it, the warnings as such."""
        write_json(path, self.as_json())
        for warning in self.warnings:
            logger.warning("%s", warning)
        logger.debug("%s", self.table())

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"warnings": self.warnings}


def run_audit(settings: ClassificationSettings) -> AuditResult:
    """Audit the frames that a classification run reads, of all its diagnosed patients, test patients included.

    Nothing is chosen by the outcome, so that no test patient leaks. The result is the data's, whatever the run's seed:
    all folds, seeds and baselines share it. Raises `UserError` as `build_diagnoses` does, and for a stratum that is no
    trait.
    """
    for name in settings.strata:
        if name not in TRAITS:
            raise UserError(f"strata: {name!r}: traits are accepted: {', '.join(TRAITS)}")
    frames, diagnoses = list_diagnosed(settings)
    skipped = Skipped()
    patients, traits = read_traits(settings.dataset_path, frames, skipped)
    skipped.report(logger)
    labels = np.array([diagnoses[patient] for patient in patients], dtype=np.int64)
    return audit(patients, labels, traits, settings.strata, SEED)


def audit(
    patients: Sequence[str],
    labels: np.ndarray,
    traits: Mapping[str, np.ndarray],
    strata: Sequence[str] = (),
    seed: int = 0,
) -> AuditResult:
    """Audit traits [N] by name, NaN where a patient has none; labels [N] are 1 for sick.

    Patients are held out in stratified folds, several times anew, and predicted from the others by a ridge
    regression. A trait warns when its AUC is above `WARN_ABOVE`, the corrected lower end of its interval above 0.5 and
    its p as small as that correction asks for.
    """
    names = stratum_names(traits, strata, len(labels))
    columns = {name: indicators(values) for name, values in traits.items() if len(np.unique(values)) > 1}
    healthy, sick = int((labels == 0).sum()), int((labels == 1).sum())
    cohort = (healthy, sick, tuple(strata), dict(zip(patients, names, strict=True)))
    constant = tuple(name for name in traits if name not in columns)
    if min(healthy, sick) < MIN_PATIENTS:
        needed = f"at least {MIN_PATIENTS} healthy and {MIN_PATIENTS} sick patients are needed"
        return AuditResult(*cohort, (), constant, needed)
    if len(columns) > 1:
        columns[TOGETHER] = np.concatenate(list(columns.values()), axis=1)
    risk = (1 - LEVEL) / max(len(columns), 1)
    alike = same_stratum(labels, names) if strata else None
    rows = []
    for name, found in columns.items():
        wins, compared, p = held_out_wins(labels, found, seed)
        overall = auc_over_pairs(labels, wins, compared, seed)
        low = auc_over_pairs(labels, wins, compared, seed, 1 - risk).interval.low
        within = None
        if alike is not None and name not in strata:
            within = auc_over_pairs(labels, wins * alike, compared * alike, seed)
        missing = int(np.isnan(traits[name]).sum()) if name in traits else 0
        warns = (overall.interval.value or 0) > WARN_ABOVE and (low or 0) > 0.5 and p <= risk
        rows.append(TraitAudit(name, missing, overall, low, p, within, warns))
    rows.sort(key=lambda row: -(row.auc.interval.value or 0.0))
    return AuditResult(*cohort, tuple(rows), constant)


def indicators(values: np.ndarray) -> np.ndarray:
    """What a linear model needs to follow a trait [N], as columns [N, K]: its rank from -1 to 1 and which value it has.

    The values are fifths where there are more than `FEW`, so that a trend, a U shape and codes in no order are all
    followed. A missing value is a value of its own. Labels play no part in this.
    """
    known = ~np.isnan(values)
    ranks = np.zeros(len(values))
    ranks[known] = 2 * rankdata(values[known]) / (known.sum() + 1) - 1
    codes, _ = coarse(values)
    return np.column_stack([ranks, codes[:, None] == np.unique(codes[known]), ~known]).astype(np.float64)


def coarse(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """A trait [N], more than `FEW` values of it as the fifth (0 to 4) that each lies in, and whether they were."""
    known = values[~np.isnan(values)]
    if len(np.unique(known)) <= FEW:
        return values, False
    fifths = np.searchsorted(np.quantile(known, (0.2, 0.4, 0.6, 0.8)), values)
    return np.where(np.isnan(values), np.nan, fifths), True


def ridge(columns: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights [K, L] of ridge regressions of labels [N, L] on columns [N, K], without their constants.

    scikit-learn's takes ten times as long for so few patients, which it spends on checks of its input.
    """
    centred = columns - columns.mean(axis=0)
    return np.linalg.solve(centred.T @ centred + PENALTY * np.eye(columns.shape[1]), centred.T @ labels)


def held_out_wins(labels: np.ndarray, columns: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """How often the sick patient of each pair scored higher, how often the pair was compared, [S, H] each, and p.

    Pairs are compared only inside one fold, where one model scored both: across folds a held-out patient lowers the
    share of its own diagnosis among the others, which would push the AUC of a trait that tells nothing below 0.5.
    """
    place = np.where(labels == 1, np.cumsum(labels == 1), np.cumsum(labels == 0)) - 1
    wins = np.zeros((int((labels == 1).sum()), int((labels == 0).sum())))
    compared = np.zeros_like(wins)
    rng = np.random.default_rng(seed)
    shuffled = np.stack([labels, *(rng.permutation(labels) for _ in range(SHUFFLES))], axis=1)
    won, tried = np.zeros(1 + SHUFFLES), np.zeros(1 + SHUFFLES)
    folds = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=seed)
    for trained, held_out in folds.split(columns, labels):
        # Patients of the same value tie, in whatever order a sum was taken.
        scores = (columns[held_out] @ ridge(columns[trained], shuffled[trained])).round(9)
        of_fold = shuffled[held_out]
        sick = of_fold[:, 0] == 1
        pairs = np.ix_(place[held_out][sick], place[held_out][~sick])
        wins[pairs] += wins_of(of_fold[:, 0], scores[:, 0])
        compared[pairs] += 1
        count = of_fold.sum(axis=0)
        won += (rankdata(scores, axis=0) * of_fold).sum(axis=0) - count * (count + 1) / 2
        tried += count * (len(of_fold) - count)
    aucs = won / tried
    return wins, compared, float((aucs >= aucs[0] - 1e-9).mean())


def stratum_names(traits: Mapping[str, np.ndarray], strata: Sequence[str], patients: int) -> list[str | None]:
    """The stratum of each patient in words, such as 'year 2014'; None where one of its traits is missing."""
    columns = []
    for name in strata:
        values, cut = coarse(traits[name])
        label = f"{name} fifth" if cut else name
        columns.append([None if np.isnan(value) else f"{label} {value:g}" for value in values])
    rows = list(zip(*columns, strict=True)) if columns else [()] * patients
    return [None if None in row else ", ".join(str(part) for part in row) or None for row in rows]


def main() -> None:
    """The command line: prints the table and writes audit.json below the settings' output root."""
    parser = argparse.ArgumentParser(prog="python -m src.audit", description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="a run's folder, in place of --cfg")
    parser.add_argument("--cfg", type=Path, metavar="FILE", help="YAML of a classification run")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="overrides")
    flags = parser.parse_args()
    if (flags.run is None) == (flags.cfg is None):
        parser.error("one of RUN and --cfg FILE is needed")
    settings = load(flags.cfg, flags.overrides) if flags.run is None else load_run(flags.run, flags.overrides)
    if not isinstance(settings, ClassificationSettings):
        raise UserError(
            f"{flags.run or flags.cfg}: task: '{settings.task}': the audit takes the settings of a classification"
        )
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    result = run_audit(settings)
    path = settings.output_root / "audit.json"
    write_json(path, result.as_json())
    print(f"{result.table()}\nwritten to {path}")
