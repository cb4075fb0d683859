"""Serves a published dashboard on this machine's loopback address only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from harness.errors import AssayError

HOST = "127.0.0.1"


def serve(html_dir: Path, port: int, announce: Callable[[str], None]) -> None:
    """Serve the dashboard until the process is interrupted.

    Args:
        html_dir: a published dashboard.
        port: the port to listen on; 0 takes any free one.
        announce: called once with the address, when the server listens.

    Raises:
        AssayError: there is no dashboard, or the port cannot be had.
    """
    with open_server(html_dir, port) as server:
        announce(f"http://{HOST}:{server.server_port}/")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def open_server(html_dir: Path, port: int) -> ThreadingHTTPServer:
    """Return a server that listens on loopback; `serve_forever` lets it answer.

    Raises:
        AssayError: there is no dashboard, or the port cannot be had.
    """
    if not (html_dir / "index.html").is_file():
        raise AssayError(f"no dashboard in {html_dir}; `assay publish` makes one")
    handler = partial(_Handler, directory=str(html_dir.resolve()))
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AssayError(f"cannot listen on port {port}: {reason}; use --port 0") from error


class _Handler(SimpleHTTPRequestHandler):
    """Answers with files that really lie in the folder: no links out of it, no listings."""

    def send_head(self) -> Any:
        if not self._within():
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def _within(self) -> bool:
        try:
            path = Path(self.translate_path(self.path)).resolve()
        except (OSError, RuntimeError, ValueError):  # a loop of links, or a NUL
            return False
        return path.is_relative_to(Path(self.directory).resolve())

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        # A dashboard is published again under the same names.
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing: the address is all that a reader of the terminal needs."""
