"""Every failure is one ``Code``; the doors hold one table each from ``Code`` to HTTP and to gRPC.

::

    Exception
    └── ModelServerError            INTERNAL unless a code or a status is given
        ├── InvalidInput            INVALID_ARGUMENT     the client's mistake (also a ValueError)
        ├── PayloadTooLarge         PAYLOAD_TOO_LARGE    body over a configured limit
        ├── NotFound                NOT_FOUND
        │   ├── ModelNotFound
        │   └── RouteNotFound
        ├── Unavailable             UNAVAILABLE
        │   ├── ModelNotReady
        │   └── ServerNotReady
        ├── ResourceExhausted       RESOURCE_EXHAUSTED
        ├── DeadlineExceeded        DEADLINE_EXCEEDED
        └── Unimplemented           UNIMPLEMENTED        (also a NotImplementedError)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Code(Enum):
    """gRPC's canonical words, and the three meanings of HTTP that gRPC folds into a wider word."""

    CANCELLED = "CANCELLED"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    OVERLOADED = "OVERLOADED"


# The statuses an author may name in `ModelServerError(status=...)`, in the vocabulary of the server.
_CODE_OF_STATUS = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    409: Code.ALREADY_EXISTS,
    412: Code.FAILED_PRECONDITION,
    413: Code.PAYLOAD_TOO_LARGE,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}


class ModelServerError(Exception):
    """The root of every error a client is told about; raise it, or a child, from a model.

    ``message`` is sent to the client as it is. ``code`` says what it means on every protocol;
    ``status`` (400 to 599) names the HTTP status instead, and the nearest code follows from it.
    ``retry_after`` in seconds becomes the ``Retry-After`` header and gRPC's ``retry-after`` metadata;
    ``headers`` are added to the answer.

    >>> ModelServerError("try later", status=503, retry_after=2).code
    <Code.UNAVAILABLE: 'UNAVAILABLE'>
    """

    default = Code.INTERNAL

    def __init__(
        self,
        message: str = "",
        *,
        code: Code | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        if status is not None and not 400 <= status <= 599:
            raise ValueError(f"status: {status} is not an error; expected 400 to 599")
        self.message = message
        self.status = status
        self.code = code or (code_of_status(status) if status is not None else type(self).default)
        self.retry_after = retry_after
        self.headers = dict(headers or {})


def code_of_status(status: int) -> Code:
    """The ``Code`` of an HTTP error status: exact where there is one, else that of its class (4xx, 5xx)."""
    exact = _CODE_OF_STATUS.get(status)
    return exact or (Code.INVALID_ARGUMENT if status < 500 else Code.INTERNAL)


class InvalidInput(ModelServerError, ValueError):
    """The request is wrong: the message names the field, what came and what was expected."""

    default = Code.INVALID_ARGUMENT


class PayloadTooLarge(ModelServerError):
    """A body is over a configured limit; the message names the limit."""

    default = Code.PAYLOAD_TOO_LARGE


class NotFound(ModelServerError):
    """The thing that the request names does not exist."""

    default = Code.NOT_FOUND


class ModelNotFound(NotFound):
    """No model, or no such version of it."""

    def __init__(self, name: str, version: str | None = None) -> None:
        which = f"Model with name {name}" if version is None else f"Model with name {name} and version {version}"
        super().__init__(f"{which} does not exist.")


class RouteNotFound(NotFound):
    """No route answers this path."""


class Unavailable(ModelServerError):
    """It cannot be done now and may be later."""

    default = Code.UNAVAILABLE


class ModelNotReady(Unavailable):
    """The model exists and cannot serve: it is loading, failed to load, or is being unloaded."""

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(f"Model with name {name} is not ready." + (f" {detail}" if detail else ""))


class ServerNotReady(Unavailable):
    """Not every expected model can serve, or the server is stopping."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("Server is not ready." + (f" {detail}" if detail else ""))


class ResourceExhausted(ModelServerError):
    """A quota or a limit is used up: 429 on REST, RESOURCE_EXHAUSTED on gRPC."""

    default = Code.RESOURCE_EXHAUSTED


class DeadlineExceeded(ModelServerError):
    """The request's deadline passed before its answer was there."""

    default = Code.DEADLINE_EXCEEDED


class Unimplemented(ModelServerError, NotImplementedError):
    """The model or the protocol does not offer this."""

    default = Code.UNIMPLEMENTED
