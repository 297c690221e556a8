"""Networks that decide on latents, and the registry of those that find regions."""

from model.heads import LinearSegmentation, RegionDecoder, SegmentationModel

DECODERS: dict[str, type[RegionDecoder]] = {"unet": SegmentationModel, "linear": LinearSegmentation}
"""Those that find regions, by the setting `decoder`."""
