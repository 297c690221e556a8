"""In which number format networks compute: float32, or bfloat16 where the processor is faster in it."""

from contextlib import AbstractContextManager

import torch

from src.settings import Precision


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """'auto' takes bfloat16 where the device multiplies it faster than float32: CPUs with amx, AMD's with
    avx512_bf16, recent GPUs.

    Intel's with avx512_bf16 alone multiply it no faster: a training step of the published UNet took 14.2 s in bfloat16
    there, 9.2 s in float32 (PyTorch 2.14, one core).
    """
    if precision == "auto":
        precision = "bf16" if _multiplies_bf16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def number_format(dtype: torch.dtype) -> str:
    """What records call it: bfloat16 or float32."""
    return str(dtype).removeprefix("torch.")


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        return bool(has.get("amx_bf16") or (has.get("avx512_bf16") and "Intel" not in str(has.get("cpu_name"))))
    return False


def memory_layout(dtype: torch.dtype, device: torch.device) -> torch.memory_format:
    """Channels last for bfloat16, on GPUs and on CPUs with AVX-512.

    float32 trains a fifth slower that way with AVX2 alone, and a fifth faster with AVX-512 (both measured).
    """
    if dtype == torch.bfloat16 or device.type == "cuda" or torch.cpu.get_capabilities().get("avx512_f"):
        return torch.channels_last
    return torch.contiguous_format


def computing_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[None]:
    """Convolutions and matrix products in `dtype`; weights, sums and BatchNorm's statistics stay float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32, cache_enabled=False)
