"""Trained runs applied to anyone's frames."""
