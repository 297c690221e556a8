"""The settings of the two decoders: healthy or sick, and seven regions."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from src.places import RUNS
from src.settings.common import Modality, Settings
from src.settings.fields import DecoderName, LossName, Names, OfData, OfLoss, OfMachine, OfNetwork, OfTraining, Weights

DecoderInput = Literal["latents", "random", "pixels", "levels", "features"]
WITHOUT_ENCODER: tuple[DecoderInput, ...] = ("pixels", "levels", "features")
"""What decoders see without an encoder of frames."""
BASELINES: dict[DecoderInput, str] = {"random": "random_encoder", "pixels": "raw_pixels"}
"""What decoders see that others are compared with, and the folder of each."""
Augment = Literal["none", "flip", "full", "strong"]
Init = Literal["random", "drawn"]
Schedule = Literal["constant", "onecycle", "cosine"]
Decide = Literal["argmax", "whole"]
Protocol = Literal["holdout", "kfold", "published", "final"]
SelectBy = Literal["loss", "score", "errors", "last"]


class DecoderSettings(Settings):
    """What the two decoders share."""

    encoder_modality: OfNetwork[Modality]
    """Frames that the encoder was pretrained on; where there is none, it says how many channels the decoder takes."""
    decoder_modality: OfNetwork[Modality]
    """Frames of this run, which reach the encoder in its own number of channels."""
    protocol: OfData[Protocol] = "holdout"
    """holdout: one split. kfold: every patient is tested once, by a training without it. published: as the paper's
    code does, regions divided frame by frame, the epoch chosen on the test frames, so optimistic
    (src/protocols/trials.py). final: trains on all, as long as kfold found, whose score it reports
    (src/protocols/final.py)."""
    decoder_input: OfNetwork[DecoderInput] = "latents"
    """latents of the pretrained encoder, the latents of a random encoder of its size, or the pixels, which need no
    encoder; nor do levels: one channel of gray level, each frame at mean 0 and standard deviation 1, heat maps read
    back through the palette of the training frames, which the run keeps. features, for the diagnosis alone, are eight
    numbers that networks taught on drawn torsos find in these levels (src/networks/findings.py); the decoder is then a
    logistic regression, and `base_channels` says nothing."""
    baseline: OfTraining[bool] = False
    """Whether this is a run that `--baselines` compares another one with: it lies below `baselines` in that one's
    folder."""
    folds: OfData[int] = Field(5, ge=2)
    """Parts of the patients in kfold, also in the one that final goes by."""
    augment: OfNetwork[Augment] = "none"
    """Change training frames, anew in each step. flip: left and right, and their regions with them. full: also
    rotation, scale, shift, gain and offset of the gray levels. strong: all of these further, and aspect, gamma, blur
    and noise (src/datasets/augmentation.py). All mirror frames, so what was trained with one of them answers with the
    average of its logits over a frame and its mirror image."""
    optimizer: OfTraining[Literal["adam", "adamw"]] = "adam"
    """adamw keeps `weight_decay` apart from the gradients."""
    schedule: OfTraining[Schedule] = "constant"
    """Learning rate over the steps of all `max_epochs`: onecycle climbs to `learning_rate` and falls to nothing, cosine
    falls from it. Early stopping would cut it off, so it goes with `patience: null`."""
    select_by: OfTraining[SelectBy] = "loss"
    """Which epoch is kept: that of the least validation loss, that of the highest validation Dice or AUC, for the
    diagnosis that of the fewest frames on the wrong side of a probability of .5 (`patience` goes by the same), or the
    last, as a schedule that ends at rest allows where validation frames are few."""
    train_patients: OfData[int | None] = Field(None, ge=1)
    """Train on so many of the training patients, fewer being among more, for learning curves; null: on all of them."""
    base_channels: OfNetwork[int] = Field(64, ge=1)
    """Channels of the UNet's first level; the lowest has 8 times as many."""
    latent_memory_mb: OfMachine[int] = Field(2048, ge=0)
    """Memory for latents of the frozen encoder, which are kept so that each frame is encoded once; 0 keeps none."""
    latent_disk_mb: OfMachine[int] = Field(20_480, ge=0)
    """Disk below output_root for the latents that memory does not hold; at most half of what is free; 0 keeps none."""
    checkpoint_activations: OfMachine[Literal["auto", "on", "off"]] = "auto"
    """Compute the UNet's activations twice instead of keeping them: auto where a batch would not fit into memory, or
    take more than 10 GB of a GPU."""

    @field_validator("checkpoint_activations", mode="before")
    @classmethod
    def _as_word(cls, value: Any) -> Any:
        """YAML reads on and off as true and false."""
        return {True: "on", False: "off"}[value] if type(value) is bool else value

    @model_validator(mode="after")
    def _go_together(self) -> "DecoderSettings":
        # Four halvings of less leave one pixel, and BatchNorm cannot train on one value.
        if self.image_size and min(self.image_size) < 32:
            raise ValueError(f"image_size: {list(self.image_size)}: at least 32 rows and 32 columns are accepted")
        if self.select_by == "last" and self.patience is not None:
            raise ValueError("select_by: last: goes with patience: null, no epoch is better than another")
        if self.encoder == "taught" and self.decoder_input == "random":
            raise ValueError("encoder: taught: goes with decoder_input: latents, levels or pixels, not with random")
        if self.baseline and self.decoder_input not in BASELINES:
            raise ValueError(f"baseline: goes with decoder_input: {' or '.join(BASELINES)}")
        return self

    @property
    def frame_modality(self) -> Modality:
        return self.decoder_modality

    @property
    def averages_mirrored(self) -> bool:
        """Whether logits are averaged over a frame and its mirror image in testing and prediction."""
        return self.augment != "none"

    @property
    def needs_encoder(self) -> bool:
        """Whether the decoder sees latents."""
        return self.decoder_input not in WITHOUT_ENCODER

    @property
    def pretrains_encoder(self) -> bool:
        """Whether these are latents of an encoder that was pretrained on frames, not of the one that ships."""
        return self.needs_encoder and self.encoder != "taught"

    @property
    def protocol_root(self) -> Path:
        """Folder of the protocol's runs, and of what several of them say together."""
        folders = {"holdout": "", "kfold": f"kfold_{self.folds}"}
        return self.output_root / folders.get(self.protocol, self.protocol)

    @property
    def baseline_folder(self) -> str:
        """Where a baseline's run lies in the folder of the run that it is compared with; empty for that run."""
        return f"/baselines/{BASELINES[self.decoder_input]}" if self.baseline else ""

    @property
    def case(self) -> str:
        """The file-name part that tells the four modality cases apart, such as 'h_enc_g_dec'."""
        return f"{self.encoder_modality[0]}_enc_{self.decoder_modality[0]}_dec"


class ClassificationSettings(DecoderSettings):
    """Healthy or sick (main_binary.py)."""

    task: Literal["classification"]
    """Tells the three kinds of settings apart."""
    strata: OfTraining[Names] = ("year",)
    """Traits (src/audit/traits.py): beside each AUC stands one over pairs of patients who are alike in all of them,
    which what differs between years or cameras cannot raise; empty leaves it out. Many values are cut into fifths."""

    @property
    def split_name(self) -> str:
        """As everywhere, but in the published protocol, which divides folders by the decoder's frames in them."""
        return f"split_{self.task}_{self.decoder_modality}.json" if self.protocol == "published" else super().split_name

    @property
    def run_name(self) -> str:
        return f"{RUNS[self.task]}_{self.case}{self.baseline_folder}"


class SegmentationSettings(DecoderSettings):
    """Seven regions (main_seg.py)."""

    task: Literal["segmentation"]
    """Tells the three kinds of settings apart."""
    loss: OfLoss[LossName] = "ce"
    """A name of the registry in src/losses.py: cross-entropy, alone or with the soft Dice loss of each frame added."""
    decoder: OfNetwork[DecoderName] = "unet"
    """A name of the registry in model/__init__.py: unet, or linear, one layer from a pixel's latent to its class."""
    init: OfTraining[Init] = "random"
    """Where training begins: random weights, or drawn, those that ship, which were taught on drawn torsos alone. They
    go with decoder_input: levels and the base_channels and the names of the classes that they have."""
    decide: OfNetwork[Decide] = "argmax"
    """From probabilities to regions, in testing and prediction: the most probable class of each pixel, or, whole, the
    same without stray pieces (src/evaluation/decision.py). A trained run keeps its own."""
    class_weights: OfLoss[Weights] = (1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0)
    """Cross-entropy weight of each class, in the order of the annotation file's category ids."""

    @model_validator(mode="after")
    def _go_together_for_regions(self) -> "SegmentationSettings":
        if self.init == "drawn" and (self.decoder_input != "levels" or self.decoder != "unet"):
            raise ValueError(
                "init: drawn: goes with decoder_input: levels and decoder: unet, not with "
                f"{self.decoder_input} and {self.decoder}"
            )
        if self.decoder_input == "features":
            raise ValueError("decoder_input: features: goes with the diagnosis; they are of a whole frame")
        if self.select_by == "errors":
            raise ValueError("select_by: errors: goes with the diagnosis; regions have loss, score and last")
        return self

    @property
    def split_name(self) -> str:
        """As everywhere, but in the published protocol, which divides frames."""
        return f"split_{self.task}.json" if self.protocol == "published" else super().split_name

    @property
    def run_name(self) -> str:
        return f"{RUNS[self.task]}_{self.case}{self.baseline_folder}"
