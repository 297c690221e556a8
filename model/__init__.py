"""Decoders that work on latents."""

from model.heads import LinearSegmentation, SegmentationModel

DECODERS: dict[str, type[SegmentationModel] | type[LinearSegmentation]] = {
    "unet": SegmentationModel,
    "linear": LinearSegmentation,
}
"""Those that find regions, by the setting `decoder`."""
