"""What serving adds to a PyTorch model: the predict stage against a direct call in inference mode.

    python benchmarks/pytorch/run.py [--rounds 7] [--calls 200]

For an exported ResNet-like convnet and an exported MLP (FP32), in one process and with one number of threads: a direct
call of the exported program's module under ``torch.inference_mode()``, and the predict stage of a request through the
server's own engine, as Server-Timing reports it. They take turns; medians of the rounds' medians are compared, and the
answers are equal. Exits with 1 when the stage is over the direct call by more than 5 % and by more than 20 us.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from modelserver import InferRequest, Tensor
from modelserver.testing import InMemoryServer

RESULT = Path(__file__).parent.parent / "results" / "pytorch.json"


class Block(nn.Module):
    """Two convolutions and the way round them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        return torch.relu(x + self.norm(self.second(torch.relu(self.first(x)))))


def convnet() -> tuple[nn.Module, torch.Tensor]:
    """A ResNet-like net for images of 3 x 64 x 64."""
    blocks = [Block(32) for _ in range(4)]
    net = nn.Sequential(nn.Conv2d(3, 32, 7, 2, 3), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    return net.eval(), torch.randn(1, 3, 64, 64)


def mlp() -> tuple[nn.Module, torch.Tensor]:
    """Three layers over 64 features."""
    net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 8))
    return net.eval(), torch.randn(1, 64)


async def compare(name: str, net: nn.Module, example: torch.Tensor, rounds: int, calls: int) -> dict[str, Any]:
    """Microseconds of both, in turns."""
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(net, (torch.cat([example, example]),), dynamic_shapes=({0: batch},))
    direct = program.module()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt2"
        torch.export.save(program, path)
        async with InMemoryServer(path) as server:
            dataplane = server.composition.dataplane
            declared = dataplane.model_metadata("model").inputs[0].name
            array = example.numpy().copy()
            direct_us, served_us = [], []
            for _ in range(rounds):
                direct_us.append(median(call(direct, example) for _ in range(calls)))
                times = []
                for _ in range(calls):
                    request = InferRequest("model", [Tensor(declared, array)])
                    response = await dataplane.infer(request)
                    times.append(request.context.predict * 1e6)
                served_us.append(median(times))
            with torch.inference_mode():
                expected = direct(example).numpy()
    np.testing.assert_allclose(response.outputs[0].data, expected, rtol=1e-4, atol=1e-5)  # type: ignore[union-attr]
    return {"name": name, "direct_us": round(median(direct_us), 1), "served_us": round(median(served_us), 1)}


def call(module: Any, example: torch.Tensor) -> float:
    """Microseconds of one direct call."""
    begin = time.perf_counter()
    with torch.inference_mode():
        module(example)
    return (time.perf_counter() - begin) * 1e6


async def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=200)
    options = parser.parse_args()
    torch.manual_seed(0)
    results = []
    for name, (net, example) in (("MLP", mlp()), ("ResNet-like convnet", convnet())):
        result = await compare(name, net, example, options.rounds, options.calls)
        over = result["served_us"] - result["direct_us"]
        result["met"] = over <= 20 or over <= 0.05 * result["direct_us"]
        results.append(result)
        print(f"{name}: direct {result['direct_us']} us, predict stage {result['served_us']} us")
    document = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"},
        "versions": {
            "python": platform.python_version(),
            "torch": version("torch"),
            "modelserver": version("modelserver"),
        },
        "method": {"rounds": options.rounds, "calls": options.calls, "threads": torch.get_num_threads()},
        "results": results,
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=2) + "\n")
    return 0 if all(result["met"] for result in results) else 1


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
