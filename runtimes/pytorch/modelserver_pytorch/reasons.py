"""What torch says went wrong, in one line, and whose mistake it was."""

from __future__ import annotations

import torch

from modelserver import InvalidInput, ModelServerError, ResourceExhausted

#: What torch raises for tensors that a model cannot take: wrong shapes and datatypes, indices out of range.
REFUSALS = (RuntimeError, IndexError, ValueError, AssertionError, ArithmeticError)
_LONGEST = 300


def reason(exc: BaseException) -> str:
    """The line that says it, without TorchScript's and C++'s stack traces; its error's name when there is none."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    if not lines:
        return type(exc).__name__
    if lines[0].startswith("The following operation failed in the TorchScript interpreter"):
        # The last line; before it are the model's source and where in it.
        lines = [lines[-1].removeprefix("RuntimeError: ")]
    if lines[0].startswith("Error(s) in loading state_dict"):
        lines = [" ".join(lines)]
    line = lines[0]
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "..."


def refusal(exc: Exception) -> ModelServerError:
    """What a client is told when torch refuses its tensors, or has no memory for them."""
    text = reason(exc)
    if isinstance(exc, torch.OutOfMemoryError) or "DefaultCPUAllocator" in text:
        return ResourceExhausted("there is not enough memory for this request")
    return InvalidInput(f"inputs: {text}")
