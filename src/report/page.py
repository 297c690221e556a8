"""One page of all runs below an output root, in one file: `python -m src.report RUNS`, or `--cfg-path DIR`.

The page is written anew from the run folders: it scores nothing, so that every number in it stands in a file there.
"""

import argparse
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from src import places
from src.cli import named
from src.errors import UserError
from src.files import write_text
from src.report import record, scores
from src.report.checklist import checklist
from src.report.curves import roc_of_cases
from src.report.reading import Reader
from src.report.runs import CASES, FOLDERS, PUBLISHED, Group, Run, Task
from src.report.sections import Picture, finished_at, is_phantom, read_picture, run_section, trials_of
from src.report.tables import Table, plural, score_cell
from src.settings import REPOSITORY
from src.settings.file import load

_TASKS: dict[Task, tuple[str, str, str]] = {
    "classification": ("Healthy or sick", "AUC by patient; .5 is chance, 1 is perfect", "test/patient_auc"),
    "segmentation": ("Regions", "Dice, mean of the regions; 1 is perfect", "test/dice_macro"),
}
"""What each decides, the score that the page begins with, in words and by name."""

Commands = Callable[[Task, str], str]  # from task and case to the command that runs it


def report(root: Path, commands: Commands) -> str:
    """The page as HTML; `UserError` where there is no run below the output root."""
    reader = Reader(root)
    groups = reader.groups() if root.is_dir() else []
    runs = [found for group in groups for found in group.runs.values()]
    if not any(found.finished for found in runs):
        first = commands("latent", "heat")
        raise UserError(f"{root}: no finished run (dmr_runs*/results/metrics.json) there; run one first: {first}")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(page=_page(reader, groups, runs, commands))


def _page(reader: Reader, groups: Sequence[Group], runs: Sequence[Run], commands: Commands) -> dict[str, Any]:
    """What the template is filled with."""
    # A trial is told in the tables of protocols; the others have tables, curves and pictures of their own.
    shown = [group for group in groups if not group.is_trial]
    tested = [group for group in groups if not group.is_final]
    titled = {_title(group, run): run for group in shown for run in group.runs.values() if run.finished}
    by_name = {run.name: run for run in runs}
    first = {task: _first(groups, task) for task in _TASKS}
    picture = _headline_picture(reader, first["segmentation"], by_name)
    return {
        "made": datetime.now().strftime("%Y-%m-%d %H:%M"),
        "root": str(reader.root),
        "facts": _facts(groups, runs),
        "phantom": any(is_phantom(run) for run in runs),
        "warnings": record.audit_warnings(runs),
        "problems": reader.problems,
        "headlines": [_headline(task, *found) for task, found in first.items() if found],
        "picture": picture,
        "published": PUBLISHED,
        "results": [found for group in shown if not group.is_final for found in _results(group)],
        "encoders": scores.encoder_table(groups[0]),
        "not_run": _not_run(groups[0], commands),
        "baselines": [
            scores.baseline_table(title, run) for title, run in titled.items() if run.baselines or run.differences
        ],
        "protocols": _protocols(groups),
        "audits": record.audit_tables(runs),
        "runs": [run_section(reader, title, run, by_name) for title, run in titled.items()],
        "records": [
            record.split_table({_title(group, run): run for group in groups for run in group.runs.values()}),
            record.training_table(titled),
            *record.settings_tables(titled),
            record.version_table(runs),
        ],
        "checklist": checklist(tested),
    }


def _facts(groups: Sequence[Group], runs: Sequence[Run]) -> list[tuple[str, str]]:
    finished = [run for run in runs if run.finished]
    at = sorted(finished_at(run) for run in finished)
    commits = dict.fromkeys(str(run.provenance.get("git_commit") or "unknown") for run in finished)
    data = dict.fromkeys(str(run.settings.get("dataset_path") or "unknown") for run in finished)
    counted = [(group, sum(run.finished for run in group.runs.values())) for group in groups]
    told = [f"{group.label} ({plural(count, 'case')})" for group, count in counted if count and not group.is_trial]
    if trials := sum(count for group, count in counted if group.is_trial):
        told.append(plural(trials, "single training"))
    return [
        ("Runs", "; ".join(told)),
        ("Finished", at[0] if at[0] == at[-1] else f"{at[0]} to {at[-1]}"),
        ("Data", ", ".join(data)),
        ("Git commit", ", ".join(commits)),
    ]


def _first(groups: Sequence[Group], task: Task) -> tuple[Group, Run] | None:
    """Of the protocol that tests most patients and is not optimistic, the first case of the paper's order, not the
    best one."""
    shown = [group for group in groups if not (group.is_trial or group.is_final)]
    for group in sorted(shown, key=lambda group: (group.published, not group.name.startswith("kfold"))):
        runs = group.of(task)
        for case in CASES:
            if case in runs and runs[case].finished:
                return group, runs[case]
    return None


def _headline(task: Task, group: Group, run: Run) -> dict[str, Any]:
    """The one number of a task that matters most."""
    title, measure, name = _TASKS[task]
    return {
        "title": title,
        "measure": measure,
        "score": score_cell(run.results.metrics.get(name), run.results.intervals.get(name)),
        "n": scores.n_cell(run),
        "of": f"{run.case} ({scores.case_head(run.case).below}), {group.label}",
        "source": f"{run.name}/results/metrics.json and intervals.json",
    }


def _headline_picture(reader: Reader, chosen: tuple[Group, Run] | None, runs: Mapping[str, Run]) -> Picture | None:
    """The regions that the headline's segmenter, or its first fold, found."""
    for run in [chosen[1], *trials_of(chosen[1], runs)] if chosen else ():
        path = run.results.folder / "figures" / "regions.png"
        if path.is_file():
            return read_picture(reader, path)
    return None


def _results(group: Group) -> list[dict[str, Any]]:
    """The tables of the tasks of which a protocol has scores."""
    of_protocol = f": {group.label}" if group.name or group.published else ""
    return [
        {
            "title": title + of_protocol,
            "published": group.published,
            "tables": scores.case_tables(group, task),
            "roc": roc_of_cases(group) if task == "classification" else None,
        }
        for task, (title, *_) in _TASKS.items()
        if any(run.finished for run in group.of(task).values())
    ]


def _protocols(groups: Sequence[Group]) -> list[Table]:
    trials = [group for group in groups if group.is_trial]
    finals = [scores.final_table(group) for group in groups if group.is_final]
    seeds = [scores.seed_table(group, task) for group in groups for task in _TASKS]
    single = [scores.trial_table(trials, task) for task in get_args(Task)]
    return [table for table in (*finals, *seeds, *single) if table]


def _title(group: Group, run: Run) -> str:
    """Task and case of a run, and its protocol where that is not the output root's."""
    return f"{run.task}, {run.case}" + (f" ({group.label})" if group.name or group.published else "")


def _not_run(root: Group, commands: Commands) -> list[tuple[str, str]]:
    """The cases of the output root without scores, each with its command; encoders only where a run sees one."""
    encoded, missing = any(run.is_encoded for run in root.runs.values()), []
    for name, (task, case) in FOLDERS.items():
        run = root.runs.get(name)
        if (run is None or not run.finished) and (encoded or task != "latent"):
            missing.append((f"{task}, {case}{': not finished' if run else ''}", commands(task, case)))
    return missing


def command_line(cfg_path: str, overrides: Sequence[str]) -> Commands:
    """Commands with the same settings folder and overrides as the report's own."""
    shared = ["--cfg-path", cfg_path] if cfg_path else []
    shared += ["--set", *overrides] if overrides else []

    def command(task: Task, case: str) -> str:
        asked = {"--gray": case == "gray", "--gray_encoder": "g_enc" in case, "--gray_decoder": "g_dec" in case}
        flags = (flag for flag, is_asked in asked.items() if is_asked)
        return shlex.join(["python", places.SCRIPTS[task], *flags, *shared])

    return command


def output_root(folder: Path, overrides: Sequence[str]) -> Path:
    """The output root of the settings in a folder.

    Raises `UserError` where there are none or where they do not agree.
    """
    paths = sorted(folder.glob("dmr_*.yaml"))
    if not paths:
        raise UserError(f"{folder}: no settings (dmr_*.yaml) there; --cfg-path names the folder that the runs used")
    # The report reads no data: those may be on another machine.
    unread = [] if "dataset_path" in named(overrides) else [f"dataset_path={REPOSITORY}"]
    roots = {path: load(path, [*unread, *overrides]).output_root for path in paths}
    if len(set(roots.values())) > 1:
        one, other = (next(path for path in paths if roots[path] == root) for root in sorted(set(roots.values()))[:2])
        raise UserError(f"{one}, {other}: two output roots; choose one with --set output_root=DIR")
    return roots[paths[0]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m src.report", description=__doc__)
    words = "an output root, or a run's folder in it, in place of settings"
    parser.add_argument("runs", type=Path, nargs="?", metavar="RUNS", help=words)
    parser.add_argument("--cfg-path", type=Path, metavar="DIR", help="folder of the YAML (default: config)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="overrides", help="win over the YAML"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="the page (default: report.html in output_root)")
    flags = parser.parse_args()
    if flags.runs is not None:
        if flags.cfg_path is not None or flags.overrides:
            parser.error("RUNS says by itself where the runs lie; leave out --cfg-path and --set")
        root = places.output_root(flags.runs)
        flags.overrides = [f"output_root={root}"]
    else:
        root = output_root(flags.cfg_path or REPOSITORY / "config", flags.overrides)
    output = flags.output or root / "report.html"
    if output.is_dir():
        raise UserError(f"{output} is a folder; --output names the file to write")
    write_text(output, report(root, command_line(str(flags.cfg_path or ""), flags.overrides)))
    print(f"report: {output} ({output.stat().st_size / 1e6:.1f} MB)")
