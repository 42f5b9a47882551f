"""``Context``: what a handler knows of its model and of the requests before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class RequestProcessor:
    """One request's headers, and what the handler wants to be answered beside its result."""

    def __init__(self, request_header: Mapping[str, str]) -> None:
        self._request_headers = request_header
        self._headers: dict[str, str] = {}
        self._status = 200
        self._phrase: str | None = None

    def get_request_property(self, key: str) -> str | None:
        """A header of the request, in any case."""
        return self._request_headers.get(key) or self._request_headers.get(key.lower())

    def get_request_properties(self) -> Mapping[str, str]:
        """All headers of the request."""
        return self._request_headers

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        """The HTTP status of the answer."""
        self._status, self._phrase = code, reason_phrase

    def get_response_status_code(self) -> int:
        """What ``report_status`` was told, else 200."""
        return self._status

    def get_response_status_phrase(self) -> str | None:
        """What ``report_status`` was told of the reason."""
        return self._phrase

    def add_response_property(self, key: str, value: str) -> None:
        """A header of the answer."""
        self._headers[key] = value

    def get_response_headers(self) -> dict[str, str]:
        """The headers of the answer."""
        return self._headers

    def get_response_header(self, key: str) -> str | None:
        """One of them."""
        return self._headers.get(key)


class Context:
    """TorchServe's, with the arguments in its order."""

    def __init__(
        self,
        model_name: str,
        model_dir: str,
        manifest: Mapping[str, Any],
        batch_size: int,
        gpu: int | None,
        mms_version: str,
        limit_max_image_pixels: bool = True,
        metrics: Any = None,
        model_yaml_config: Mapping[str, Any] | None = None,
    ) -> None:
        self.model_name = model_name
        self.manifest = manifest
        self.system_properties = {
            "model_dir": model_dir,
            "gpu_id": gpu,
            "batch_size": batch_size,
            "server_name": "modelserver",
            "server_version": mms_version,
            "limit_max_image_pixels": limit_max_image_pixels,
        }
        self.metrics = metrics
        self.model_yaml_config = {} if model_yaml_config is None else model_yaml_config
        self.request_ids: dict[int, str] | None = None
        self.request_processor: Sequence[RequestProcessor] = ()
        self.stopping_criteria: Any = None

    def get_request_id(self, idx: int = 0) -> str | None:
        """The id of a request of the batch."""
        return None if self.request_ids is None else self.request_ids.get(idx)

    def get_request_header(self, idx: int, key: str) -> str | None:
        """A header of a request of the batch."""
        return self.request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> Mapping[str, str]:
        """All headers of a request of the batch."""
        return self.request_processor[idx].get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        """The content type of an answer."""
        self.set_response_header(idx, "content-type", value)

    def get_response_content_type(self, idx: int) -> str | None:
        """What ``set_response_content_type`` was told."""
        return self.get_response_headers(idx).get("content-type")

    def get_response_status(self, idx: int) -> tuple[int, str | None]:
        """Status and reason of an answer."""
        processor = self.request_processor[idx]
        return processor.get_response_status_code(), processor.get_response_status_phrase()

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Status and reason of an answer."""
        self.request_processor[idx].report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Status and reason of every answer."""
        for processor in self.request_processor:
            processor.report_status(code, phrase)

    def get_response_headers(self, idx: int) -> dict[str, str]:
        """The headers of an answer."""
        return self.request_processor[idx].get_response_headers()

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """A header of an answer."""
        self.request_processor[idx].add_response_property(key, value)
