"""A page of all runs below an output root: `python -m src.report`. A leaf: nothing else imports it."""
