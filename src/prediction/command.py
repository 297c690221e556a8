"""`--mode predict` of a script, before it imports what trains: that takes longer than many a frame."""

import sys
from typing import Literal

from src import cli
from src.errors import UserError
from src.errors import run as run_script


def predict_if_asked(description: str, task: Literal["classification", "segmentation"]) -> None:
    """Predict and end the process where the command line says so; nothing is returned to then.

    Without a run of one's own, and without a word that one is meant, the weights that ship answer.
    """
    arguments = cli.parse_decoder(description)
    source = arguments.input
    if source is None:
        return

    def predict() -> None:
        if not source.exists():
            raise UserError(f"{source}: no such file or folder")
        finds_regions = task == "segmentation"
        settings = (cli.segmentation_settings if finds_regions else cli.classification_settings)(arguments)
        run, asked = cli.run_to_predict_with(arguments, settings), cli.asked(arguments, settings)
        from src.prediction.run import predict_files  # with torch, after all that a typing error is found by

        predict_files(run, task, source, arguments.output, arguments.device, asked)

    run_script(predict)
    sys.exit()
