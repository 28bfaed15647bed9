"""ComfyUI as a library for training: its architectures, without its server. Import before any other ``comfy`` module."""

from __future__ import annotations

import os

import comfy.options
import torch

comfy.options.enable_args_parsing(False)

from comfy.cli_args import args  # noqa: E402 - parsing must be off first

args.cpu = not torch.cuda.is_available()
args.use_pytorch_cross_attention = True
device = torch.device("cpu" if args.cpu else "cuda")
torch.backends.cudnn.benchmark = True
torch.backends.cudnn.benchmark_limit = 4
fast_bf16 = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
layout = torch.channels_last if fast_bf16 else torch.contiguous_format
"""Of the VAE's convolutions. In float32 on a CPU the plain one was a little faster, in bf16 the other one three times."""
small_layout = torch.contiguous_format if args.cpu else torch.channels_last
"""Of the UNet's, whose pictures are small: the plain one was a quarter faster on a CPU, in either precision."""


def autocast() -> torch.autocast:
    """bf16 where it is fast. A CPU that has no instructions for it takes a hundred times as long for the UNet as in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast_bf16, cache_enabled=False)  # no weight is used twice


rank, processes = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
"""Which of how many processes that train together this is: what ``torchrun`` sets."""


def chunk(item: int) -> int:
    """The ``item``-th chunk of scenes that is this process's."""
    return item * processes + rank
