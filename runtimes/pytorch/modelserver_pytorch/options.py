"""What the runtime can be told, by flags, environment variables and a model's own settings."""

from __future__ import annotations

from dataclasses import dataclass

from modelserver import RuntimeSettings, setting


@dataclass(frozen=True, slots=True)
class PyTorchSettings(RuntimeSettings):
    """``--device`` and ``--model-class-name``, or ``MODELSERVER_DEVICE`` and ``MODELSERVER_MODEL_CLASS_NAME``."""

    device: str = setting(
        "auto", "Device of PyTorch models: auto, cpu, cuda or cuda:N; auto takes a GPU where there is one"
    )
    model_class_name: str | None = setting(
        None, "Class of a PyTorch model in the file beside its weights; PyTorchModel, or the only one, when not set"
    )
