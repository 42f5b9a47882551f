"""``VisionHandler``: images as bytes, as base64 text or as lists of numbers, stacked into one tensor."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

import torch

from modelserver import InvalidInput

from ..handler_utils.timer import timed
from .base_handler import BaseHandler


class VisionHandler(BaseHandler):
    """Children say in ``image_processing`` how a picture becomes a tensor."""

    def initialize(self, context: Any) -> None:
        """As every handler; explanations are Captum's, where it is installed."""
        super().initialize(context)
        try:
            from captum.attr import IntegratedGradients
        except ImportError:
            self.ig: Any = None
        else:
            self.ig = IntegratedGradients(self.model)

    @timed
    def preprocess(self, data: Any) -> Any:
        """One image a row, under ``data`` or ``body``; ``InvalidInput`` for what is no image."""
        images = [self._image(row.get("data") or row.get("body"), index) for index, row in enumerate(data)]
        try:
            return torch.stack(images).to(self.device)
        except RuntimeError as exc:
            raise InvalidInput(f"instances: expected images of one size: {str(exc).splitlines()[0]}") from exc

    def _image(self, image: Any, index: int) -> Any:
        if isinstance(image, str):
            try:
                image = base64.b64decode(image, validate=True)
            except (binascii.Error, ValueError) as exc:
                raise InvalidInput(f"instances[{index}]: expected base64: {exc}") from exc
        if not isinstance(image, (bytes, bytearray)):
            try:
                return torch.tensor(image, dtype=torch.float32)
            except (TypeError, ValueError, RuntimeError) as exc:
                raise InvalidInput(f"instances[{index}]: expected an image or numbers: {exc}") from exc
        from PIL import Image, UnidentifiedImageError

        try:
            return self.image_processing(Image.open(io.BytesIO(image)))  # type: ignore[attr-defined] # the children's
        except (UnidentifiedImageError, OSError) as exc:
            raise InvalidInput(f"instances[{index}]: expected an image: {type(exc).__name__}") from exc

    def get_insights(self, tensor_data: Any, raw_data: Any, target: int = 0) -> Any:
        """Captum's integrated gradients."""
        if self.ig is None:
            raise NotImplementedError("explanations of images need captum")
        return self.ig.attribute(tensor_data, target=target, n_steps=15).tolist()
