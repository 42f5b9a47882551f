"""The ports of a server with several workers, opened by their parent before they are."""

from __future__ import annotations

import socket


def reserve(host: str, http_port: int, grpc_port: int) -> tuple[socket.socket, socket.socket]:
    """A listening socket for REST, which all workers accept from, and a bound one that keeps gRPC's port.

    gRPC's core opens its own sockets, so its port is shared by SO_REUSEPORT; the bound one never listens and gets
    no connections. ``OSError`` in one line when a port is taken.
    """
    rest = bind(host, http_port)
    rest.listen(2048)
    try:
        # Without SO_REUSEPORT first: another server that shares the port would be joined, not refused.
        probe = bind(host, grpc_port)
        port = probe.getsockname()[1]
        probe.close()
        return rest, bind(host, port, shared=True)
    except OSError:
        rest.close()
        raise


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound TCP socket; port 0 takes any free one. ``OSError`` in one line when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as exc:
        bound.close()
        raise OSError(exc.errno, f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    return bound
