"""The audit in the report: can something other than the disease tell sick from healthy, and is a frame there twice."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from src.evaluation.report_runs import Run, number
from src.evaluation.report_tables import ABSENT, Cell, Notes, Table, as_list, digits, some


def audit_warnings(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Warning and the runs that it is of; one that several runs share comes once."""
    found: dict[str, list[str]] = {}
    for run in runs:
        texts = [str(text) for text in as_list(run.audit.get("warnings"))]
        if not texts:
            texts = [_trait_warning(trait) for trait in _traits(run.audit) if trait.get("warning")]
        for text in dict.fromkeys(texts):
            found.setdefault(text, []).append(run.name)
    return [(text, some(names)) for text, names in found.items()]


def audit_tables(runs: Sequence[Run]) -> list[Table]:
    """A table an audit; runs whose audits are the same share one."""
    shared: dict[str, list[Run]] = {}
    for run in runs:
        if run.audit:
            shared.setdefault(json.dumps(run.audit, sort_keys=True, default=str), []).append(run)
    return [_audit_table(found) for found in shared.values()]


def _audit_table(runs: Sequence[Run]) -> Table:
    audit, notes = runs[0].audit, Notes()
    rows = [_trait_row(trait, notes) for trait in _traits(audit)]
    if audit.get("strata"):
        strata = ", ".join(f"{_said(item)}" for item in as_list(audit["strata"]))
        notes.mark(f"within: {strata}")
    for duplicate in as_list(audit.get("duplicates")):
        notes.mark(f"duplicate: {_said(duplicate)}")
    counts = [f"{_said(audit[key])} {key}" for key in ("patients", "sick", "healthy") if audit.get(key) is not None]
    columns = ["trait", "AUC", "lower end, corrected for the number of traits", "AUC within strata", "remark"]
    source = f"results/audit.json of {some([run.name for run in runs])}"
    remark = ("Of " + ", ".join(counts) + ". " if counts else "") + (
        "Each trait alone tells sick from healthy this well: far from 0.5, a decoder can learn it, not the disease."
    )
    return Table("Traits of frames and patients", columns, rows, source, notes.lines(), remark)


def _trait_row(trait: Mapping[str, Any], notes: Notes) -> list[Cell]:
    warned = "warning" if trait.get("warning") else ""
    within = trait.get("within")
    pairs = number(within.get("pairs")) if isinstance(within, dict) else None
    corrected = number(trait.get("corrected_low"))
    inside = _area(within) if isinstance(within, dict) else ABSENT
    if pairs is not None:
        below = f"{inside.below}; {pairs:.0f} pairs" if inside.below else f"{pairs:.0f} pairs"
        inside = Cell(inside.text, below, kind=inside.kind)
    name = _said(trait.get("name", "trait"))
    return [
        Cell(name, "warning" if warned else "", kind=f"head {warned}".strip()),
        _area(trait),
        Cell(ABSENT.text if corrected is None else digits(corrected), kind="absent" if corrected is None else ""),
        inside,
        Cell("", below=_said(trait.get("note") or "")),
    ]


def _area(found: Mapping[str, Any]) -> Cell:
    area, low, high = (number(found.get(key)) for key in ("auc", "low", "high"))
    if area is None:
        return ABSENT
    return Cell(digits(area), "" if low is None or high is None else f"{digits(low)} to {digits(high)}")


def _trait_warning(trait: Mapping[str, Any]) -> str:
    area = number(trait.get("auc"))
    known = "" if area is None else f" with an AUC of {digits(area)}"
    return f"{_said(trait.get('name', 'a trait'))} alone tells sick from healthy{known}"


def _traits(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    together = audit.get("all_together")
    found = [trait for trait in as_list(audit.get("traits")) if isinstance(trait, dict)]
    return found + ([{"name": "all together", **together}] if isinstance(together, dict) else [])


def _said(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(_said(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
