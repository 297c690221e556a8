"""Decoders that work on latents."""
