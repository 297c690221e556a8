"""Turns folders of other layouts into the database's. Its command is `python -m src.datasets.prepare import`."""
