"""Where finished runs lie below a folder: those of one split, of protocols, and the final models."""

from pathlib import Path

from src.errors import UserError, some

_PLACES = ("", "kfold_*", "seeds", "published", "final")
"""Folders below an output root in which runs lie; single trials lie deeper."""


def is_finished(run: Path) -> bool:
    """Whether a folder holds a run with scores."""
    return (run / "results" / "metrics.json").is_file()


def runs_below(folder: Path) -> list[Path]:
    """The finished runs of a folder: itself, or those of an output root or of one protocol's folder in it.

    Raises `UserError` where there are none.
    """
    if is_finished(folder):
        return [folder]
    places = [place for pattern in _PLACES for place in (sorted(folder.glob(pattern)) if pattern else [folder])]
    found = [run for place in places for run in sorted(place.glob("dmr_runs*")) if is_finished(run)]
    if not found:
        raise UserError(f"{folder}: no finished run (dmr_runs*/results/metrics.json) there")
    return found


def one_run(folder: Path) -> Path:
    """The run of a folder that is one or holds one decoder's; `UserError` where that is not so."""
    found = runs_below(folder)
    decoders = [run for run in found if run == folder or "_dec" in run.name]
    if len(decoders) != 1:
        names = some([run.relative_to(folder).as_posix() for run in decoders])
        raise UserError(f"{folder}: one run is needed, there are {len(decoders)}: name one of {names or 'a decoder'}")
    return decoders[0]
