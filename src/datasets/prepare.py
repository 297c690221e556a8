"""Prepares a data folder: `import` turns other layouts into DMR's, `snaps` derives missing heat snapshots."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from src.datasets.snapshots import DEFAULT_PALETTE, SnapshotCounts, derive_snapshots
from src.errors import UserError

log = logging.getLogger(__name__)

NAMES_SHOWN = 10


def _report(counts: SnapshotCounts) -> None:
    """One summary line for what was done and one for each reason to skip."""
    log.info("snapshots: %d made, %d there already", counts.made, counts.existed)
    for reason, frames in sorted(counts.skipped.items()):
        more = f" and {len(frames) - NAMES_SHOWN} more" if len(frames) > NAMES_SHOWN else ""
        names = ", ".join(frame.name for frame in frames[:NAMES_SHOWN])
        log.warning("skipped %d frame(s), %s: %s%s", len(frames), reason, names, more)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 when there are snapshots now, 2 when the input was bad."""
    parser = argparse.ArgumentParser(prog="python -m src.datasets.prepare", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    snaps = commands.add_parser("snaps", help="derive the missing heat snapshots of a data folder")
    snaps.add_argument("folder", type=Path, metavar="DIR", help="the data folder, searched with its subfolders")
    snaps.add_argument("--palette", default=DEFAULT_PALETTE, help="an OpenCV colour map by name (default: jet)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        counts = derive_snapshots(options.folder, options.palette)
        _report(counts)
        if not counts.made and not counts.existed:
            raise UserError(f"none of the gray frames in {options.folder} could be read")
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
