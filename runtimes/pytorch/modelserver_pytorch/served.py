"""A loaded model, whatever its form; and the way from a file to one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelserver import BatchSettings, InferRequest, TensorMetadata
from modelserver_pytorch.contents import Form, form_of
from modelserver_pytorch.options import PyTorchSettings

log = logging.getLogger("modelserver.pytorch")


def _nothing() -> None:
    """No resources to give back, no code to warm."""


@dataclass(frozen=True, slots=True)
class Served:
    """What answers requests; ``inputs`` and ``outputs`` are empty where the file does not say."""

    answer: Callable[[InferRequest], Any]
    inputs: Sequence[TensorMetadata] = ()
    outputs: Sequence[TensorMetadata] = ()
    batching: BatchSettings | None = None
    explain: Callable[[InferRequest], Any] | None = None
    #: Answers made-up requests; what it raises is the model's own.
    warm_up: Callable[[], None] = field(default=_nothing)
    close: Callable[[], None] = field(default=_nothing)


def open_model(file: Path, name: str, options: PyTorchSettings) -> Served:
    """Load a model file; ``ValueError`` with the reason in one line when it cannot be loaded."""
    form = form_of(file)  # first, for it takes no time
    from modelserver_pytorch.devices import device_of, use_cpu_share
    from modelserver_pytorch.reasons import reason
    from modelserver_pytorch.tensors import allow_read_only

    device = device_of(options.device)
    log.info("model %s: %s on %s, %d threads a call", name, form.value, device, use_cpu_share())
    allow_read_only()
    if form is Form.ARCHIVE:
        from modelserver_pytorch.mar import open_archive

        return open_archive(file, name, device)
    if form is Form.EXPORTED:
        from modelserver_pytorch.export import open_program as opener
    elif form is Form.COMPILED:
        from modelserver_pytorch.compiled import open_package as opener
    elif form is Form.SCRIPT:
        from modelserver_pytorch.script import open_script as opener
    else:
        from modelserver_pytorch.eager import open_weights as opener
    try:
        return opener(file, device, options)
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, AttributeError) as exc:
        log.debug("%s cannot be loaded", file.name, exc_info=True)
        raise ValueError(f"{file.name} cannot be loaded as {form.value}: {reason(exc)}") from exc
