"""`python -m src.report`: one page of all runs below an output root."""

from src.errors import end_at_once, run

if __name__ == "__main__":  # drawing takes seconds to be imported, and Ctrl-C may come in them
    end_at_once()

from src.report.page import main

run(main)
