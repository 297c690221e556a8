"""A page of all runs beside the paper's claims: `python -m src.report`. A leaf: nothing else imports it."""
