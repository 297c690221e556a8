"""One page of all runs below an output root, in one file: `python -m src.report RUNS`, or `--cfg-path DIR`.

The page is written anew from the run folders: it scores nothing, so that every number in it stands in a file there.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from src.errors import UserError
from src.evaluation import summary
from src.files import write_text
from src.report import audit as report_audit
from src.report import protocols as report_protocols
from src.report import record as report_record
from src.report import scores as report_scores
from src.report.checklist import Item, checklist
from src.report.commands import Commands, command_line, not_run
from src.report.curves import Curve, roc_of_cases
from src.report.headline import Headline, headline_picture, headlines
from src.report.reading import Reader
from src.report.runs import PUBLISHED, Group, Run, Task
from src.report.sections import Picture, RunSection, finished_at, is_phantom, run_section
from src.report.tables import Table, plural
from src.settings import REPOSITORY
from src.settings.file import load

_TEMPLATE = "report.html.jinja"


@dataclass(frozen=True)
class TaskResults:
    """The tables of one task in one protocol."""

    title: str
    published: bool
    tables: list[Table]
    roc: Curve | None


@dataclass(frozen=True)
class Page:
    """What the template is filled with."""

    made: str
    root: str
    facts: list[tuple[str, str]]
    phantom: bool
    warnings: list[str]
    problems: list[str]
    headlines: list[Headline]
    picture: Picture | None
    results: list[TaskResults]
    encoders: Table | None
    not_run: list[tuple[str, str]]
    """Cases of the output root without scores, and what to type."""
    baselines: list[Table]
    protocols: list[Table]
    audits: list[Table]
    runs: list[RunSection]
    records: list[Table]
    checklist: list[Item]
    published: str = PUBLISHED


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
    return environment.get_template(_TEMPLATE).render(page=_page(reader, groups, runs, commands))


def _page(reader: Reader, groups: Sequence[Group], runs: Sequence[Run], commands: Commands) -> Page:
    # A trial is told in the protocols' tables; the others have tables, curves and pictures of their own.
    shown = [group for group in groups if not group.is_trial]
    titled = {_title(group, found): found for group in shown for found in group.runs.values() if found.finished}
    by_name = {found.name: found for found in runs}
    picture = headline_picture(reader, groups, by_name)
    sections = [run_section(reader, title, found, by_name) for title, found in titled.items()]
    return Page(
        made=datetime.now().strftime("%Y-%m-%d %H:%M"),
        root=str(reader.root),
        facts=_facts(groups, runs),
        phantom=any(is_phantom(found) for found in runs),
        warnings=report_audit.audit_warnings(runs),
        problems=reader.problems,
        headlines=headlines(groups),
        picture=picture,
        results=[found for group in shown if not group.is_final for found in _results(group)],
        encoders=report_scores.encoder_table(groups[0]),
        not_run=not_run(groups[0], commands),
        baselines=[
            report_protocols.baseline_table(title, found)
            for title, found in titled.items()
            if found.baselines or found.differences
        ],
        protocols=_protocols(groups),
        audits=report_audit.audit_tables(runs),
        runs=sections,
        records=[
            report_record.split_table({_title(group, run): run for group in groups for run in group.runs.values()}),
            report_record.training_table(titled),
            *report_record.settings_tables(titled),
            report_record.version_table(runs),
        ],
        checklist=checklist([group for group in groups if not group.is_final]),
    )


def _facts(groups: Sequence[Group], runs: Sequence[Run]) -> list[tuple[str, str]]:
    finished = [found for found in runs if found.finished]
    at = sorted(finished_at(found) for found in finished)
    commits = dict.fromkeys(str(found.provenance.get("git_commit") or "unknown") for found in finished)
    data = dict.fromkeys(str(found.settings.get("dataset_path") or "unknown") for found in finished)
    counted = [(group, sum(found.finished for found in group.runs.values())) for group in groups]
    told = [f"{group.label} ({plural(count, 'case')})" for group, count in counted if count and not group.is_trial]
    if trials := sum(count for group, count in counted if group.is_trial):
        told.append(plural(trials, "single training"))
    return [
        ("Runs", "; ".join(told)),
        ("Finished", at[0] if at[0] == at[-1] else f"{at[0]} to {at[-1]}"),
        ("Data", ", ".join(data)),
        ("Git commit", ", ".join(commits)),
    ]


def _results(group: Group) -> list[TaskResults]:
    """The tasks of which a protocol has scores."""
    found = []
    of_protocol = f": {group.label}" if group.name or group.published else ""
    words: dict[Task, str] = {"classification": "Healthy or sick", "segmentation": "Regions"}
    for task, title in words.items():
        if not any(run.finished for run in group.of(task).values()):
            continue
        tables = report_scores.case_tables(group, task)
        roc = roc_of_cases(group) if task == "classification" else None
        found.append(TaskResults(title + of_protocol, group.published, tables, roc))
    return found


def _protocols(groups: Sequence[Group]) -> list[Table]:
    seeds = [
        report_protocols.seed_table(group, task) for group in groups for task in ("classification", "segmentation")
    ]
    trials = [group for group in groups if group.is_trial]
    single = [report_protocols.trial_table(trials, task) for task in ("latent", "classification", "segmentation")]
    finals = [report_protocols.final_table(group) for group in groups if group.is_final]
    return [table for table in (*finals, *seeds, *single) if table]


def _title(group: Group, found: Run) -> str:
    """Task and case of a run, and its protocol where that is not the output root's."""
    return f"{found.task}, {found.case}" + (f" ({group.label})" if group.name or group.published else "")


def output_root(folder: Path, overrides: Sequence[str]) -> Path:
    """The output root of the settings in a folder.

    Raises `UserError` where there are none or where they do not agree.
    """
    paths = sorted(folder.glob("dmr_*.yaml"))
    if not paths:
        raise UserError(f"{folder}: no settings (dmr_*.yaml) there; --cfg-path names the folder that the runs used")
    # The report reads no data: those may be on another machine.
    known = (
        []
        if any(text.split("=")[0].strip() == "dataset_path" for text in overrides)
        else [f"dataset_path={REPOSITORY}"]
    )
    roots = {path: load(path, [*known, *overrides]).output_root for path in paths}
    if len(set(roots.values())) > 1:
        one, other = (next(path for path in paths if roots[path] == root) for root in sorted(set(roots.values()))[:2])
        raise UserError(f"{one}, {other}: two output roots; choose one with --set output_root=DIR")
    return roots[paths[0]]


def main() -> None:
    """The command line."""
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
        root = summary.output_root(flags.runs)
        flags.overrides = [f"output_root={root}"]
    else:
        root = output_root(flags.cfg_path or REPOSITORY / "config", flags.overrides)
    output = flags.output or root / "report.html"
    if output.is_dir():
        raise UserError(f"{output} is a folder; --output names the file to write")
    write_text(output, report(root, command_line(str(flags.cfg_path or ""), flags.overrides)))
    print(f"report: {output} ({output.stat().st_size / 1e6:.1f} MB)")
