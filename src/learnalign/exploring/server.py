"""Serve a page's folder on this machine alone, and save subsets from it into the run.

Every address begins with a secret token; without it nothing is read or written. Requests that name
another host than this machine are refused, so that no other website can reach the server.
"""

import json
import secrets
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from learnalign.errors import LearnAlignError
from learnalign.exploring.page import SERVED

_HOST = "127.0.0.1"
#: Largest request: the ids of a million problems.
_MOST = 256 * 2**20

#: Saves a subset and returns what to tell the user.
Save = Callable[[dict[str, Any]], dict[str, Any]]


class PageServer(ThreadingHTTPServer):
    """Serves a folder on a free port of the loopback interface.

    Args:
        folder: The folder that `learnalign.exploring.page.write_folder` made.
        save: Called with each subset that the page saves.
        port: The port; 0 for a free one.
    """

    daemon_threads = True

    def __init__(self, folder: Path, save: Save, port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        """The part of every address that lets a request in."""
        super().__init__((_HOST, port), partial(_Handler, folder, save, self.token))

    @property
    def address(self) -> str:
        """The page's address, with its token."""
        return f"http://{_HOST}:{self.server_port}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, folder: Path, save: Save, token: str, *rest: Any) -> None:
        self.folder, self.save, self.token = folder, save, token
        super().__init__(*rest)

    def do_GET(self) -> None:
        """Send one of the page's files."""
        name = self._name()
        if name is None:
            return
        name = name or "index.html"
        path = self.folder / name
        if not SERVED.fullmatch(name) or not path.is_file():
            self._say(HTTPStatus.NOT_FOUND, "there is no such file")
            return
        kind = "text/html; charset=utf-8" if name == "index.html" else "application/octet-stream"
        self._send(HTTPStatus.OK, kind, path.read_bytes())

    def do_POST(self) -> None:
        """Save a subset."""
        if self._name() is None:
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST:
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large")
            return
        try:
            subset = json.loads(self.rfile.read(int(length)))
            answer = self.save(subset)
        except LearnAlignError as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
        except ValueError:
            self._say(HTTPStatus.BAD_REQUEST, "the request is not JSON")
        else:
            self._send(HTTPStatus.OK, "application/json", json.dumps(answer).encode())

    def _name(self) -> str | None:
        """Return the path after the token; None if the request was refused."""
        here = {f"{name}:{self.connection.getsockname()[1]}" for name in (_HOST, "localhost")}
        origin = self.headers.get("Origin")
        token, _, name = self.path.partition("?")[0].removeprefix("/").partition("/")
        wrong_token = not secrets.compare_digest(token.encode(), self.token.encode())
        foreign = self.headers.get("Host") not in here
        foreign |= origin is not None and origin.removeprefix("http://") not in here
        if wrong_token or foreign:
            self._say(HTTPStatus.FORBIDDEN, "use the whole address that was printed")
            return None
        return name

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", text.encode())

    def _send(self, status: HTTPStatus, kind: str, data: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Print nothing: addresses contain the token."""
