"""What `python -m benchmarks.accuracy` compares: the published settings, the recommended ones, and changes of these.

The recommended settings are what turned out best so far on 18 frames of the database, so their own score there is
optimistic. A nested choice (`accuracy.choose_nested`) sees no test patient, but these arms were drawn up knowing them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from src.settings import REPOSITORY


@dataclass(frozen=True)
class Arm:
    """One way to train a decoder on heat maps."""

    name: str
    changes: tuple[str, ...] = ()
    """Settings of the decoder that differ from those of the file."""
    encoder_changes: tuple[str, ...] = ()
    """Settings of the encoder that differ."""
    settings: Literal["published", "recommended"] = "recommended"

    @property
    def cfg_path(self) -> Path:
        """Folder of the settings' files."""
        return REPOSITORY / "config" / ("" if self.settings == "published" else "recommended")

    @property
    def folder(self) -> str:
        """A folder's name for its runs."""
        return "_".join("".join(letter if letter.isalnum() else " " for letter in self.name).split())


PUBLISHED = Arm("published", settings="published")
PATIENT = Arm("published, never stopped early", ("patience=null",), settings="published")
RECOMMENDED = Arm("recommended")
LATENTS = ("decoder_input=latents",)
INPUTS = {
    "latents": Arm("latents alone", LATENTS),
    "latents and pixels": Arm("latents and pixels", ("decoder_input=both",)),
    "pixels": RECOMMENDED,
    "random encoder": Arm("latents of a random encoder", ("decoder_input=random",)),
}
"""What a decoder can see, for the learning curve."""

REGIONS = (
    RECOMMENDED,
    PUBLISHED,
    PATIENT,
    INPUTS["latents"],
    INPUTS["latents and pixels"],
    INPUTS["random encoder"],
    Arm("one UNet", ("ensemble=1",)),
    Arm("most probable class of each pixel", ("decide=argmax",)),
    Arm("no augmentation", ("augment=none", "augment_variants=0")),
    Arm("cross-entropy alone", ("loss=ce",)),
    Arm("half the steps", ("max_epochs=30",)),
    Arm("constant learning rate", ("schedule=constant",)),
    Arm("fewer to train on, epoch by validation loss", ("train_val_ratio=8:2", "select_by=loss")),
    Arm("base width 32", ("base_channels=32",)),
    Arm("flips alone", ("augment=flip",)),
    Arm("changed anew in each step", ("augment_variants=0",)),
    Arm("no average over flips", ("flip_average=false",)),
    Arm("Adam", ("optimizer=adam", "weight_decay=0.0")),
    Arm("averaged weights", ("ema=0.99",)),
    Arm("latents, coarse ones too", (*LATENTS, "coarse_latents=true")),
    Arm("latents of one length", (*LATENTS, "normalize_latents=unit")),
    Arm("latents normalised over each frame", (*LATENTS, "normalize_latents=frame")),
    Arm("latents, pretraining: 5 epochs", LATENTS, ("max_epochs=5",)),
    Arm("latents, pretraining: 10 times the steps", LATENTS, ("min_steps_per_epoch=50", "patience=30")),
    Arm("latents, pretraining: 10 times the anchors", LATENTS, ("sampled_patches_per_image=160",)),
    Arm("latents, pretraining: InfoNCE of each anchor", LATENTS, ("contrastive=per_anchor",)),
    Arm("latents, pretraining: lambda 0.5", LATENTS, ("lambda_contrastive_loss=0.5",)),
    Arm("latents, pretraining: both modalities", LATENTS, ("both_modalities=true",)),
    Arm("latents, pretraining: twice the width", LATENTS, ("num_kernels=32",)),
)
"""The ablation of the segmenter, each arm against RECOMMENDED; the most telling come first."""
