"""ComfyUI as a library for training: its architectures, without its server. Import before any other ``comfy`` module."""

from __future__ import annotations

import comfy.options
import torch

comfy.options.enable_args_parsing(False)

from comfy.cli_args import args  # noqa: E402 - parsing must be off first

args.cpu = not torch.cuda.is_available()
args.use_pytorch_cross_attention = True
device = torch.device("cpu" if args.cpu else "cuda")
