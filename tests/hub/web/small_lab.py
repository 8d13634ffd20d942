"""A lab that only says that it is there and keeps its token where the test finds it."""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class Answer(BaseHTTPRequestHandler):
    """200 to everything."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a small lab\n")

    def log_message(self, *_given: object) -> None:
        """Say nothing."""


folder = Path(sys.argv[1])
(folder / f"token-{os.environ['JUPYTERHUB_USER']}").write_text(os.environ["JUPYTERHUB_API_TOKEN"])
address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
ThreadingHTTPServer((address.hostname or "127.0.0.1", address.port or 80), Answer).serve_forever()
