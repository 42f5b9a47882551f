"""Where a model runs: the device, and how many of the CPUs."""

from __future__ import annotations

import torch

from modelserver import cpu_share


def device_of(text: str) -> torch.device:
    """``auto`` (the first GPU where torch sees one, else the CPU), ``cpu``, ``cuda`` or ``cuda:1``; ``ValueError``."""
    word = text.strip().lower()
    if word in ("", "auto"):
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    kind, _, index = word.partition(":")
    if kind == "cpu" and not index:
        return torch.device("cpu")
    if kind != "cuda" or (":" in word and not index.isdecimal()):
        raise ValueError(f"device: got {text!r}, expected auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= count:
        raise ValueError(f"device: got {text!r}, but torch sees {count} CUDA devices")
    return torch.device("cuda", int(index or 0))


def use_cpu_share() -> int:
    """Give torch this worker's whole CPUs for one call, at least one; returns how many.

    By itself torch takes as many threads as the machine has cores, whatever the container may use of them.
    """
    threads = max(1, int(cpu_share()))
    torch.set_num_threads(threads)
    return threads
