"""bfloat16 beside float32: PyTorch computes it on any CPU, so these run everywhere.

A rounding to bfloat16, which has 8 bits of mantissa, changes a value by up to 2**-9 of itself. A convolution under
autocast rounds three times (what goes in, its weights, what comes out) and sums in float32, so that after n of them
values are off by about 3 * n * 2**-9 of their size at most; roundings that cancel each other make it less.
"""

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model.heads import SegmentationModel
from src import load_classifier, load_segmenter
from src.datasets.build import build_frames
from src.encoder import CUTSEncoder
from src.networks import precision
from src.networks.precision import compute_dtype, computing_in
from src.settings import LatentSettings
from src.training.pretraining import Pretraining

CPU = torch.device("cpu")
SIZE = (48, 64)


def apart(convolutions: int) -> float:
    """The largest share of its size that a value may be off after so many convolutions in bfloat16."""
    return 3 * convolutions * 2**-9


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected).norm() / expected.norm())


def test_auto_takes_bfloat16_where_the_processor_is_faster_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    detection = inspect.unwrap(precision._multiplies_bf16)  # whatever --bfloat16 forces
    monkeypatch.setattr(precision, "_multiplies_bf16", detection)
    for has, expected in (
        ({}, torch.float32),
        ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, torch.bfloat16),
        ({"avx512_bf16": True, "cpu_name": "Intel Xeon"}, torch.float32),
        ({"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, torch.bfloat16),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has)
        assert compute_dtype("auto", CPU) == expected
        assert compute_dtype("fp32", CPU) == torch.float32
        assert compute_dtype("bf16", CPU) == torch.bfloat16


def test_a_forced_format_is_what_auto_gives(request: pytest.FixtureRequest) -> None:
    forced = request.config.getoption("--bfloat16")
    if forced is None:
        pytest.skip("without --bfloat16 it is the processor's")
    detected = inspect.unwrap(precision._multiplies_bf16)(CPU)
    expected = {"on": True, "off": False, "other": not detected}[forced]
    assert compute_dtype("auto", CPU) == (torch.bfloat16 if expected else torch.float32)


@pytest.mark.parametrize("folded", [False, True])
def test_latents_in_bfloat16_are_those_in_float32(folded: bool) -> None:
    torch.manual_seed(2)
    encoder = CUTSEncoder(3, num_kernels=4)
    for _ in range(3):  # BatchNorms with statistics of their own
        encoder(torch.randn(4, 3, *SIZE))
    network = encoder.freeze().folded() if folded else encoder.freeze()
    x = torch.rand(2, 3, *SIZE) * 2 - 1
    expected = network(x)
    with torch.no_grad(), computing_in(torch.bfloat16, CPU):
        found = network(x)
    assert found.dtype == torch.bfloat16
    assert 2**-12 < relative(found, expected) < apart(4)


def test_logits_and_gradients_in_bfloat16_are_near_those_in_float32() -> None:
    torch.manual_seed(3)
    decoder = SegmentationModel(16, 5, 4).eval()  # a batch's own statistics would magnify what is rounded
    z, target = torch.randn(4, 16, *SIZE), torch.randint(5, (4, *SIZE))
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        decoder.zero_grad()
        with computing_in(dtype, CPU):
            logits = decoder(z).float()
        F.cross_entropy(logits, target).backward()
        gradients = torch.cat([weight.grad.flatten() for weight in decoder.parameters() if weight.grad is not None])
        found.append((logits.detach(), gradients))
    (logits, gradients), (rounded, rounded_gradients) = found
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in decoder.modules())
    assert 2**-12 < relative(rounded, logits) < apart(convolutions)  # not the same numbers: it was computed otherwise
    assert relative(rounded_gradients, gradients) < 2 * apart(convolutions)  # there and back again


def test_pretraining_losses_in_bfloat16_are_those_in_float32(phantom: Path, tmp_path: Path) -> None:
    found = []
    for name in ("fp32", "bf16"):
        settings = LatentSettings(
            task="latent",
            modality="heat",
            learning_rate=1e-3,
            dataset_path=phantom,
            output_root=tmp_path,
            image_size=SIZE,
            precision=name,
        )
        parts = build_frames(settings)
        torch.manual_seed(1)
        found.append(Pretraining(CUTSEncoder(3, num_kernels=4), settings, CPU).evaluate(parts.validation))
    for loss, value in found[0].items():
        assert found[1][loss] == pytest.approx(value, rel=2 * apart(5)), loss  # squares and exponentials double it


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_predictions_in_bfloat16_are_near_those_in_float32(make_run: Callable[..., Path], task: str) -> None:
    frame = np.random.default_rng(4).integers(0, 256, (*SIZE, 3), np.uint8)
    found = []
    for name in ("fp32", "bf16"):
        run = make_run(task, precision=name)
        if task == "segmentation":
            found.append(load_segmenter(run, "cpu").predict(frame).labels)
        else:
            found.append(load_classifier(run, "cpu").predict(frame).probability)
    if task == "segmentation":
        assert (found[0] == found[1]).mean() > 0.95  # of random weights, whose classes lie close to each other
    else:
        assert found[1] == pytest.approx(found[0], abs=apart(22) / 4)  # a probability's slope is a quarter at most
