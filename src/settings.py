"""The settings of all three scripts: their types, their defaults, and what each means. `settings_file` reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from src.settings_fields import REPOSITORY as REPOSITORY
from src.settings_fields import (
    DecoderName,
    InputFolder,
    LossName,
    Names,
    OfData,
    OfLength,
    OfLoss,
    OfMachine,
    OfNetwork,
    OfPlace,
    OfTraining,
    OutputFolder,
    PathText,
    Ratio,
    Size,
    Views,
    Weights,
)

Modality = Literal["gray", "heat"]
Precision = Literal["auto", "fp32", "bf16"]
DecoderInput = Literal["latents", "random", "pixels", "levels", "features"]
WITHOUT_ENCODER: tuple[DecoderInput, ...] = ("pixels", "levels", "features")
"""What decoders see without an encoder of frames."""
BASELINES: dict[DecoderInput, str] = {"random": "random_encoder", "pixels": "raw_pixels"}
"""What decoders see that others are compared with, and the folder of each."""
Augment = Literal["none", "flip", "full", "strong"]
Init = Literal["random", "drawn"]
EncoderKind = Literal["cuts", "taught"]
Schedule = Literal["constant", "onecycle", "cosine"]
Decide = Literal["argmax", "whole"]
Protocol = Literal["holdout", "kfold", "published", "final"]
SelectBy = Literal["loss", "score", "errors", "last"]
FRAME_SIZE: dict[Modality, tuple[int, int]] = {"gray": (480, 640), "heat": (120, 160)}
"""(rows, columns) of the database's frames, which a run has by default."""


class Settings(BaseModel):
    """What every run reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)

    dataset_name: OfData[str] = "dmr"
    """Which kind of collection lies at `dataset_path`, a name of the registry in src/datasets/__init__.py."""
    dataset_path: OfPlace[InputFolder] = Path("data/DMR")
    """The data folder (layout: data/README.md); a relative path starts at the repository."""
    annotation_file: OfPlace[PathText] = Path("52_instances_default.json")
    """COCO regions; relative to `dataset_path`. It also decides which patients count as annotated in the split."""
    background: OfData[str] = "ROI"
    """Name of the category in the annotation file that stands for everything no region covers."""
    image_size: OfNetwork[Size | None] = None
    """(rows, columns) of the frames of this run; by default 480 x 640 for gray and 120 x 160 for heat."""
    views: OfData[Views] = ()
    """DMR's view numbers to use (1 is frontal); empty means all."""
    palette: OfData[str | None] = None
    """What the heat maps are drawn in, a name of OpenCV's palettes such as jet; null recognises it from the training
    frames, of which it takes ten, and assumes jet otherwise. Gray frames have none."""
    patients: OfData[Names] = ()
    """Names of the patients to use, a part of the data folder; empty means all. The split is drawn among them."""
    output_root: OfMachine[OutputFolder] = Path()
    """Where the run folders, the shared split and the decoded frames go; a relative path starts at the repository."""
    cache_folder: OfMachine[OutputFolder | None] = None
    """Where decoded frames go; null: dmr_cache below output_root."""
    seed: OfData[int] = Field(2021, ge=0, lt=2**32)
    """Of the split, the first weights and everything that is drawn in training."""
    test_ratio: OfData[float] = Field(0.2, gt=0, lt=1)
    """Fraction of all patients that are tested on, the same ones in all runs below `output_root`."""
    train_val_ratio: OfTraining[Ratio] = "8:2"
    """How the other patients are divided into those to train on and those to choose the best epoch on."""
    transductive: OfData[bool] = False
    """Let the encoder be pretrained on frames of test patients too (never their labels)."""
    encoder: OfNetwork[EncoderKind] = "cuts"
    """cuts: pretrained on frames of patients, as published. taught: the network that ships, taught on drawn torsos
    alone, without its last layer; it takes frames of either modality, is never trained, and saw no patient."""
    batch_size: OfTraining[int] = Field(16, ge=1)
    """Frames in one optimiser step."""
    min_steps_per_epoch: OfTraining[int] = Field(5, ge=1)
    """Where the frames do not fill so many batches, an epoch takes them all in turn, shuffled, until they do; 1 never
    takes a frame twice."""
    max_epochs: OfLength[int] = Field(200, ge=1)
    """Training ends after this many epochs at the latest."""
    patience: OfTraining[int | None] = Field(None, ge=1)
    """Stop after this many epochs that are no better on validation; null never stops early."""
    learning_rate: OfTraining[float] = Field(gt=0)
    """Step size of the optimiser, at the highest where there is a schedule; the encoder's is AdamW."""
    weight_decay: OfTraining[float] = Field(0.0, ge=0)
    """How far the optimiser draws the weights to zero."""
    precision: OfTraining[Precision] = "auto"
    """Number format of convolutions and matrix products: auto takes bf16 where the hardware is faster in it."""
    num_workers: OfMachine[int] = Field(0, ge=0)
    """Processes that load batches where the frames do not fit on the device; 0 loads them in the training process,
    which a warm frame cache makes fast enough."""

    @property
    def frame_cache(self) -> Path:
        """Folder of the decoded frames."""
        return self.cache_folder or self.output_root / "dmr_cache"

    @property
    def annotations_path(self) -> Path:
        """Where the COCO file lies."""
        return self.dataset_path / self.annotation_file

    @property
    def split_name(self) -> str:
        """Name below `output_root` of the file that holds the split, one for all tasks."""
        return "split.json"

    @property
    def frame_size(self) -> tuple[int, int]:
        """(rows, columns) of the frames of this run."""
        return self.image_size or FRAME_SIZE[self.frame_modality]

    @property
    def frame_modality(self) -> Modality:
        """The modality of the frames this run reads."""
        raise NotImplementedError

    @property
    def train_share(self) -> float:
        """Fraction of the patients outside the test set that are trained on."""
        train, validation = (float(part) for part in self.train_val_ratio.split(":"))
        return train / (train + validation)


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
        """The modality of the frames this run reads."""
        return self.modality

    @property
    def contrastive_weight(self) -> float:
        """lambda, after `model_setting` had its say."""
        return {"full": self.lambda_contrastive_loss, "no_recon": 1.0, "no_contrastive": 0.0}[self.model_setting]

    @property
    def run_name(self) -> str:
        """Name of the run's folder below `output_root`."""
        return encoder_run_name(self.modality)


class DecoderSettings(Settings):
    """What the two decoders share."""

    encoder_modality: OfNetwork[Modality]
    """Frames that the encoder was pretrained on; without one, those whose number of channels the decoder takes."""
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
    """Compute the UNet's activations twice instead of keeping them: auto where a batch would not fit into memory."""

    @model_validator(mode="after")
    def _frame_is_large_enough(self) -> "DecoderSettings":
        # Four halvings of less leave one pixel, and BatchNorm cannot train on one value.
        if self.image_size and min(self.image_size) < 32:
            raise ValueError(f"image_size: {list(self.image_size)}: at least 32 rows and 32 columns are accepted")
        return self

    @model_validator(mode="after")
    def _ends_as_it_selects(self) -> "DecoderSettings":
        if self.select_by == "last" and self.patience is not None:
            raise ValueError("select_by: last: goes with patience: null, no epoch is better than another")
        return self

    @property
    def frame_modality(self) -> Modality:
        """The modality of the frames this run reads."""
        return self.decoder_modality

    @model_validator(mode="after")
    def _taught_latents_stand_alone(self) -> "DecoderSettings":
        if self.encoder == "taught" and self.decoder_input == "random":
            raise ValueError("encoder: taught: goes with decoder_input: latents, levels or pixels, not with random")
        return self

    @model_validator(mode="after")
    def _baselines_have_no_trained_encoder(self) -> "DecoderSettings":
        if self.baseline and self.decoder_input not in BASELINES:
            raise ValueError(f"baseline: goes with decoder_input: {' or '.join(BASELINES)}")
        return self

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
        """Name of the run's folder below `output_root`."""
        return f"dmr_runs_classification_{self.case}{self.baseline_folder}"


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
    def _drawn_weights_see_levels(self) -> "SegmentationSettings":
        if self.init == "drawn" and (self.decoder_input != "levels" or self.decoder != "unet"):
            raise ValueError(
                "init: drawn: goes with decoder_input: levels and decoder: unet, not with "
                f"{self.decoder_input} and {self.decoder}"
            )
        return self

    @model_validator(mode="after")
    def _regions_are_of_pixels(self) -> "SegmentationSettings":
        if self.decoder_input == "features":
            raise ValueError("decoder_input: features: goes with the diagnosis; they are of a whole frame")
        return self

    @model_validator(mode="after")
    def _regions_have_no_errors_at_a_half(self) -> "SegmentationSettings":
        if self.select_by == "errors":
            raise ValueError("select_by: errors: goes with the diagnosis; regions have loss, score and last")
        return self

    @property
    def split_name(self) -> str:
        """As everywhere, but in the published protocol, which divides frames."""
        return f"split_{self.task}.json" if self.protocol == "published" else super().split_name

    @property
    def run_name(self) -> str:
        """Name of the run's folder below `output_root`."""
        return f"dmr_runs_seg_{self.case}{self.baseline_folder}"


DecoderRunSettings = ClassificationSettings | SegmentationSettings
RunSettings = LatentSettings | DecoderRunSettings
TASKS: dict[str, type[RunSettings]] = {
    "latent": LatentSettings,
    "classification": ClassificationSettings,
    "segmentation": SegmentationSettings,
}


def encoder_run_name(modality: Modality) -> str:
    """Folder of the encoder's run below an output root."""
    return "dmr_runs_gray" if modality == "gray" else "dmr_runs"


def with_defaults(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a checkpoint records them, with the defaults of keys that are newer than the checkpoint."""
    kind = TASKS.get(str(recorded.get("task")))
    if kind is None:
        return dict(recorded)
    blank = kind.model_construct().model_dump(mode="json", warnings=False)
    if "baseline" in blank:  # before it was a setting, decoders that see these were nothing else
        blank["baseline"] = recorded.get("decoder_input") in tuple(BASELINES)
    return {key: value for key, value in blank.items() if not kind.model_fields[key].is_required()} | dict(recorded)
