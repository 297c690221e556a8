"""Turns folders of other layouts into the database's, for `python -m src.datasets.prepare import`. A leaf."""
