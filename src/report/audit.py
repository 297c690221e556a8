"""The audit in the report: can something other than the disease tell sick from healthy?"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from src.report.runs import Run, number
from src.report.tables import ABSENT, Cell, Table, as_list, digits, score_cell, some

_TOLD = "the diagnosis can be told from what is not anatomy: "
_FRAMES = {"heat": "heat maps", "gray": "gray frames"}


def audit_warnings(runs: Sequence[Run]) -> list[str]:
    """Each warning once, without the words that all of them begin with; one that not all audits share says of which
    frames it is."""
    found: dict[str, set[str]] = {}
    kinds = set[str]()
    for run in runs:
        if run.audit:
            kinds.add(kind := _FRAMES.get(str(run.settings.get("decoder_modality")), "other frames"))
            for text in as_list(run.audit.get("warnings")):
                found.setdefault(str(text).removeprefix(_TOLD), set()).add(kind)
    return [text if told == kinds else f"{text} in {' and '.join(sorted(told))}" for text, told in found.items()]


def audit_tables(runs: Sequence[Run]) -> list[Table]:
    """A table an audit; runs whose audits are the same share one."""
    shared: dict[str, list[Run]] = {}
    for run in runs:
        if run.audit:
            shared.setdefault(json.dumps(run.audit, sort_keys=True, default=str), []).append(run)
    return [_audit_table(found) for found in shared.values()]


def _audit_table(runs: Sequence[Run]) -> Table:
    audit = runs[0].audit
    rows = [_trait_row(trait) for trait in as_list(audit.get("traits")) if isinstance(trait, dict)]
    strata, same = (", ".join(map(str, as_list(audit.get(key)))) for key in ("strata", "same_in_all"))
    columns = ["trait", "AUC", "lower end, corrected for the number of traits", "p", f"AUC within {strata or 'strata'}"]
    counts = " and ".join(f"{audit[key]} {key}" for key in ("healthy", "sick") if number(audit.get(key)) is not None)
    told = [f"Of {counts} patients." if counts else ""]
    told += [f"Not answered: {audit['reason']}." if audit.get("reason") else ""]
    told += [f"The same in all patients, or missing: {same}." if same else ""]
    told += [
        "Each trait alone tells sick from healthy this well: far from 0.5, a decoder can learn it, not the disease."
    ]
    source = f"results/audit.json of {some([run.name for run in runs])}"
    return Table("Traits of frames and patients", columns, rows, source, " ".join(text for text in told if text))


def _trait_row(trait: Mapping[str, Any]) -> list[Cell]:
    warned, missing = trait.get("warns") is True, number(trait.get("missing"))
    below = ["warning"] * warned + ([f"{missing:.0f} patients without"] if missing else [])
    corrected, p = (number(trait.get(key)) for key in ("corrected_low", "p"))
    return [
        Cell(str(trait.get("trait", "trait")), "; ".join(below), kind="head warning" if warned else "head"),
        _area(trait.get("auc")),
        *(ABSENT if value is None else Cell(digits(value)) for value in (corrected, p)),
        _area(trait.get("within"), with_pairs=True),
    ]


def _area(found: Any, with_pairs: bool = False) -> Cell:
    """The AUC over pairs of patients that `src.evaluation.auc.PairAUC` holds."""
    area = found if isinstance(found, dict) else {}
    cell, pairs = score_cell(None, area.get("interval")), number(area.get("pairs"))
    if not with_pairs or pairs is None:
        return cell
    return replace(cell, below=(f"{cell.below}; " if cell.below else "") + f"{pairs:.0f} pairs")
