"""How many CPUs this process may really use: the cgroup's quota and the affinity mask, not what the machine has.

Sources: ``cpu.max`` of cgroup v2 and ``cpu.cfs_quota_us`` over ``cpu.cfs_period_us`` of v1 (the kernel's
``Documentation/admin-guide/cgroup-v2.rst`` and ``Documentation/scheduler/sched-bwc.rst``). A quota on any level
above the process's own group holds too, so every level is looked at. A container without a cgroup namespace sees
a path of the host's there and its own group at the mount point: levels that do not exist are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

#: A server tells its worker processes how many they are by the setting's own variable.
WORKERS_VARIABLE = "MODELSERVER_WORKERS"
_CGROUPS = "sys/fs/cgroup"


def cpu_quota(root: Path = Path("/")) -> float:
    """CPUs that this process may use, e.g. 1.5 in a container limited to ``1500m``; more than 0.

    The smallest of the cgroups' quotas and the number of CPUs it may run on. ``root`` is where ``proc`` and ``sys``
    are mounted.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([float(count), *_quotas(root)])


def cpu_share() -> float:
    """This process's part of ``cpu_quota`` where the server has several worker processes; more than 0."""
    try:
        workers = int(os.environ.get(WORKERS_VARIABLE, ""))
    except ValueError:
        workers = 1
    return cpu_quota() / max(1, workers)


def _quotas(root: Path) -> Iterator[float]:
    for line in _text(root / "proc/self/cgroup").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            for group in _levels(root / _CGROUPS, path):
                yield from _quota(*_text(group / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for mount in (controllers, "cpu"):
                for group in _levels(root / _CGROUPS / mount, path):
                    yield from _quota(_text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us"))


def _levels(mount: Path, path: str) -> Iterator[Path]:
    """The group's directory and those of all groups above it."""
    group = PurePosixPath(path)
    for level in (group, *group.parents):
        yield mount / str(level).lstrip("/")


def _quota(quota: str = "", period: str = "") -> Iterator[float]:
    """Microseconds of CPU time a period, over the period; nothing where there is no limit ("max", -1)."""
    try:
        limit = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return
    if limit > 0:
        yield limit


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
