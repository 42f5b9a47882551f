"""The CPU quota, read from trees of files as cgroup v1 and v2 show them."""

import os
from pathlib import Path

import pytest

from modelserver import cpu_quota, cpu_share

HAS = float(len(os.sched_getaffinity(0)))
TREES = {
    "v2, in a container": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
    "v2, a level above limits": (
        {
            "proc/self/cgroup": "0::/pods/a",
            "sys/fs/cgroup/pods/a/cpu.max": "max 100000",
            "sys/fs/cgroup/pods/cpu.max": "25000 100000",
        },
        0.25,
    ),
    "v2, no limit": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, HAS),
    "v2, a path of the host's": (
        {"proc/self/cgroup": "0::/../../kubepods/x", "sys/fs/cgroup/cpu.max": "50000 100000"},
        0.5,
    ),
    "v1": (
        {
            "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/a",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "75000",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000",
        },
        0.75,
    ),
    "v1, a path of the host's": (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/abc",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "20000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        0.2,
    ),
    "v1, no limit": (
        {
            "proc/self/cgroup": "4:cpu:/",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        HAS,
    ),
    "more than there are": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "9900000 1000"}, HAS),
    "no cgroups": ({}, HAS),
    "garbage": ({"proc/self/cgroup": "what\n0::/", "sys/fs/cgroup/cpu.max": "many 0"}, HAS),
}


@pytest.mark.parametrize(("files", "cpus"), TREES.values(), ids=TREES)
def test_the_quota_is_the_smallest_limit(tmp_path: Path, files: dict[str, str], cpus: float) -> None:
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert cpu_quota(tmp_path) == cpus


@pytest.mark.parametrize(("workers", "part"), [("", 1), ("2", 2), ("0", 1), ("tcp://10.0.0.1", 1)])
def test_workers_share_the_quota(monkeypatch: pytest.MonkeyPatch, workers: str, part: int) -> None:
    monkeypatch.setenv("MODELSERVER_WORKERS", workers)
    assert cpu_share() == cpu_quota() / part
