"""The contract between what happens to a request and whoever wants to know: metrics, access log, payload log."""

from __future__ import annotations

from typing import Protocol

from modelserver.errors import Code
from modelserver.messages import Context


class Observer(Protocol):
    """Told once per request, on the event loop, after the answer is handed to the socket. Must be quick."""

    def started(self, model: str) -> None:
        """A request for ``model`` is in flight."""

    def finished(
        self,
        context: Context,
        model: str,
        version: str,
        code: Code | None,
        seconds: float,
        request_bytes: int,
        response_bytes: int,
    ) -> None:
        """The answer is out. ``code`` is ``None`` for a success; ``seconds`` is the whole time on the server.

        ``context`` carries protocol, verb, id and the seconds of each stage.
        """
