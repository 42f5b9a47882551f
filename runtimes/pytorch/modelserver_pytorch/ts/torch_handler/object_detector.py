"""``ObjectDetector``: boxes with label and score, above a threshold."""

from __future__ import annotations

from typing import Any

import torch

from ..handler_utils.timer import timed
from .image_classifier import to_tensor
from .vision_handler import VisionHandler


class ObjectDetector(VisionHandler):
    """For models that take a list of pictures, and return boxes, labels and scores a picture."""

    threshold = 0.5
    image_processing = staticmethod(to_tensor)

    @timed
    def preprocess(self, data: Any) -> Any:
        """One picture a row; they need not be of one size."""
        return [
            self._image(row.get("data") or row.get("body"), index).to(self.device) for index, row in enumerate(data)
        ]

    @timed
    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """What the model finds."""
        with torch.inference_mode():
            return self.model(data, *args, **kwargs)

    @timed
    def postprocess(self, data: Any) -> Any:
        """``[{label: box, "score": score}, ...]`` a picture."""
        return [
            [
                {str(label) if self.mapping is None else self.mapping[str(label)]: box, "score": score}
                for box, label, score in zip(
                    found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist(), strict=True
                )
                if score >= self.threshold
            ]
            for found in data
        ]
