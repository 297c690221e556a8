"""The settings of the encoder's pretraining."""

from typing import Literal

from pydantic import Field, model_validator

from src.settings.common import Modality, Settings
from src.settings.fields import OfLoss, OfNetwork


class LatentSettings(Settings):
    """Pretraining of the encoder (main_latent.py)."""

    task: Literal["latent"]
    """Tells the three kinds of settings apart."""
    modality: OfNetwork[Modality]
    """Frames to pretrain on: one channel (gray) or three (heat)."""
    num_kernels: OfNetwork[int] = Field(16, ge=1)
    """Channels of the encoder's first layer; each of the other three doubles them, a latent has 8 times as many."""
    patch_size: OfNetwork[int] = Field(5, ge=3)
    """Side of the patches that are compared and reconstructed, in pixels; odd."""
    sampled_patches_per_image: OfLoss[int] = Field(16, ge=2)
    """Anchors drawn in each frame at each step."""
    neighborhood: OfLoss[int] = Field(5, ge=1)
    """A positive lies within this many rows and columns of its anchor."""
    candidates: OfLoss[int] = Field(10, ge=1)
    """Neighbours of an anchor among which the most similar one becomes its positive."""
    ssim_threshold: OfLoss[float] = Field(0.5, ge=-1, le=1)
    """Where no candidate's structural similarity exceeds this, the diagonal neighbour is the positive."""
    temperature: OfLoss[float] = Field(0.5, gt=0)
    """Divides the cosine similarities in the contrastive loss."""
    lambda_contrastive_loss: OfLoss[float] = Field(0.01, ge=0, le=1)
    """Weight of the contrastive loss; the reconstruction loss has the rest."""
    model_setting: OfLoss[Literal["full", "no_recon", "no_contrastive"]] = "full"
    """Both losses, or one alone whatever `lambda_contrastive_loss` says."""

    @model_validator(mode="after")
    def _patch_is_odd_and_fits(self) -> "LatentSettings":
        if self.patch_size % 2 == 0:
            raise ValueError(f"patch_size: {self.patch_size}: an odd number is accepted")
        rows, columns = self.frame_size
        if self.patch_size >= min(rows, columns):
            raise ValueError(
                f"patch_size: {self.patch_size}: less than the {rows} rows and {columns} columns of the frames is "
                "accepted"
            )
        return self

    @property
    def frame_modality(self) -> Modality:
        return self.modality

    @property
    def contrastive_weight(self) -> float:
        """lambda, after `model_setting` had its say."""
        return {"full": self.lambda_contrastive_loss, "no_recon": 1.0, "no_contrastive": 0.0}[self.model_setting]

    @property
    def run_name(self) -> str:
        return encoder_run_name(self.modality)


def encoder_run_name(modality: Modality) -> str:
    """Folder of the encoder's run below an output root."""
    return "dmr_runs_gray" if modality == "gray" else "dmr_runs"
