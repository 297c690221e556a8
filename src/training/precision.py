"""In which number format networks compute: float32, or bfloat16 where the processor has it."""

from contextlib import AbstractContextManager

import torch

from src.settings import Precision


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """'auto' takes bfloat16 where the device multiplies it in hardware: CPUs with avx512_bf16 or amx, recent GPUs."""
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
        return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return False


def memory_layout(dtype: torch.dtype, device: torch.device) -> torch.memory_format:
    """Channels last for bfloat16 and on GPUs; float32 on CPUs trains a fifth slower that way (measured on AVX2)."""
    if dtype == torch.bfloat16 or device.type == "cuda":
        return torch.channels_last
    return torch.contiguous_format


def computing_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[None]:
    """Convolutions and matrix products in `dtype`; weights, sums and BatchNorm's statistics stay float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32, cache_enabled=False)
