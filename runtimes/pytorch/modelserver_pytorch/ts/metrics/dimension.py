"""``Dimension``: a label of a metric."""

from __future__ import annotations


class Dimension:
    """A name and a value."""

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value

    def __str__(self) -> str:
        return f"{self.name}:{self.value}"

    def to_dict(self) -> dict[str, str]:
        """As TorchServe spells it."""
        return {"Name": self.name, "Value": self.value}
