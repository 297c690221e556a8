"""`python -m src.report`: one page of all runs below an output root."""

from src.errors import run
from src.report.page import main

run(main)
