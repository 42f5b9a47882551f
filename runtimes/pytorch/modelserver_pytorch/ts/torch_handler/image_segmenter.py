"""``ImageSegmenter``: for each pixel its most probable class and how probable it is."""

from __future__ import annotations

from typing import Any

import torch

from ..handler_utils.timer import timed
from .image_classifier import imagenet
from .vision_handler import VisionHandler


class ImageSegmenter(VisionHandler):
    """For models that return ``{"out": [pictures, classes, height, width]}``."""

    image_processing = staticmethod(imagenet)

    @timed
    def postprocess(self, data: Any) -> Any:
        """[height, width, 2] a picture: the class's number and its probability."""
        probabilities, classes = torch.softmax(data["out"], dim=1).max(dim=1)
        return torch.stack((classes.to(probabilities.dtype), probabilities), dim=3).tolist()
