"""Prepares a data folder: `import` turns other layouts into DMR's, `snaps` derives missing heat snapshots."""

from src.errors import SIGNALS, UserError, end_at_once, run, some

if __name__ == "__main__":  # what it needs takes seconds to be imported, and Ctrl-C may come in them
    end_at_once()

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

from src.datasets.snapshots import DEFAULT_PALETTE, derive_snapshots
from src.importing.folder import ImportOptions, import_folder
from src.importing.plan import LAYOUTS

log = logging.getLogger(__name__)


def _derive(folder: Path, palette: str) -> None:
    """Derive snapshots, with one summary line for what was done and one for each reason to skip."""
    counts = derive_snapshots(folder, palette)
    log.info("snapshots: %d made, %d there already", counts.made, counts.existed)
    for reason, frames in sorted(counts.skipped.reasons.items()):
        names = some(sorted(PurePath(frame).name for frame in frames), 10)
        log.warning("skipped %d frame(s), %s: %s", len(frames), reason, names)
    if not counts.made and not counts.existed:
        raise UserError(f"none of the gray frames in {folder} could be read")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m src.datasets.prepare", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    snaps = commands.add_parser("snaps", help="derive the missing heat snapshots of a data folder")
    snaps.add_argument("folder", type=Path, metavar="DIR", help="the data folder, searched with its subfolders")
    begin = commands.add_parser("import", help="turn thermograms of another layout into DMR's, snapshots included")
    add = begin.add_argument
    add("source", type=Path, metavar="SOURCE", help="a folder, searched with its subfolders; only read")
    add("out", type=Path, metavar="OUT", help="a new or empty folder outside of SOURCE")
    add("--dry-run", action="store_true", help="say what would be made, and write nothing")
    add("--labels", type=Path, metavar="CSV", help="diagnoses by patient (default: tables in SOURCE)")
    add("--layout", choices=LAYOUTS, default="auto", help="take files of one layout only (default: all)")
    words = "temperatures in C that are black and white in every gray frame (default: each frame's own range)"
    add("--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help=words)
    words = "what tells the patient: the group (?P<patient>...) searched in the path inside SOURCE without suffix"
    add("--patient-from", metavar="REGEX", help=words)
    for command in (snaps, begin):
        command.add_argument("--palette", default=DEFAULT_PALETTE, help="an OpenCV colour map by name (default: jet)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line, without errors and interruptions, which `run` turns into a line and an exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for number in SIGNALS:  # by an exception, so that what is being written is taken back
        signal.signal(number, signal.default_int_handler)
    if options.command == "snaps":
        _derive(options.folder, options.palette)
    else:
        window = (options.window[0], options.window[1]) if options.window else None
        chosen = ImportOptions(options.labels, options.layout, window, options.patient_from, options.palette)
        import_folder(options.source, options.out, chosen, options.dry_run)


if __name__ == "__main__":
    run(main, "the same command starts again")
