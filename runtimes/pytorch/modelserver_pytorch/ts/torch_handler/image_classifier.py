"""``ImageClassifier``: the five most probable classes of a picture, with ImageNet's preparation."""

from __future__ import annotations

from typing import Any

import torch

from ..handler_utils.timer import timed
from ..utils.util import map_class_to_label
from .vision_handler import VisionHandler

_SHORT_SIDE, _CROP = 256, 224
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet(image: Any) -> torch.Tensor:
    """A picture of Pillow's as [3, 224, 224]: short side 256, the middle, ImageNet's mean and deviation."""
    from PIL.Image import Resampling

    image = image.convert("RGB")
    width, height = image.size
    short = min(width, height)
    if short != _SHORT_SIDE:
        size = (int(_SHORT_SIDE * width / short), int(_SHORT_SIDE * height / short))
        image = image.resize(size, Resampling.BILINEAR)
    left, top = round((image.width - _CROP) / 2), round((image.height - _CROP) / 2)
    pixels = to_tensor(image.crop((left, top, left + _CROP, top + _CROP)))
    return (pixels - torch.tensor(_MEAN).view(3, 1, 1)) / torch.tensor(_DEVIATION).view(3, 1, 1)


def to_tensor(image: Any) -> torch.Tensor:
    """A picture of Pillow's as [channels, height, width], from 0 to 1."""
    import numpy as np

    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
    pixels = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return pixels.to(torch.float32) / 255


class ImageClassifier(VisionHandler):
    """Answers ``{label: probability}`` a picture."""

    topk = 5
    image_processing = staticmethod(imagenet)

    def set_max_result_classes(self, topk: int) -> None:
        """How many classes to answer."""
        self.topk = topk

    def get_max_result_classes(self) -> int:
        """How many classes are answered."""
        return self.topk

    @timed
    def postprocess(self, data: Any) -> Any:
        """The most probable classes, by their labels where the archive has ``index_to_name.json``."""
        probabilities, classes = torch.topk(torch.softmax(data, dim=1), self.topk, dim=1)
        return map_class_to_label(probabilities.tolist(), self.mapping, classes.tolist())
