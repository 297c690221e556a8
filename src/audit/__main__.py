"""`python -m src.audit`: whether traits of the files tell the diagnosis."""

from src.errors import end_at_once, run

if __name__ == "__main__":  # scikit-learn takes seconds to be imported, and Ctrl-C may come in them
    end_at_once()

from src.audit.audit import main

run(main)
