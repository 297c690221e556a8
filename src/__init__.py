"""Breast thermography: encoder, data, training and evaluation."""
