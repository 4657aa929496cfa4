"""A proxy as one stands before a studio: it adds a path to its addresses and tells who asks."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_OWN = {"connection", "transfer-encoding", "keep-alive"}


class PathProxy:
    """Serves the studio at `target` below `path`; strips: whether it takes the path off again."""

    def __init__(self, target: str, path: str, *, strips: bool = True, by_tls: bool = False):
        host = urlsplit(target).netloc
        asked = self.asked = list[str]()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                self.close_connection = True
                asked.append(self.path)
                if not self.path.startswith(f"{path}/"):
                    self.send_error(404)
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {k: v for k, v in self.headers.items() if k.lower() not in _OWN}
                headers["X-Forwarded-Host"] = self.headers["Host"]
                headers["X-Forwarded-For"] = self.client_address[0]
                headers["X-Forwarded-Proto"] = "https" if by_tls else "http"
                upstream = http.client.HTTPConnection(host)
                try:
                    there = self.path.removeprefix(path) if strips else self.path
                    upstream.request(self.command, there, body, headers)
                    answer = upstream.getresponse()
                    self.send_response_only(answer.status, answer.reason)
                    for name, value in answer.getheaders():
                        if name.lower() not in _OWN:
                            self.send_header(name, value)
                    self.send_header("Connection", "close")
                    self.end_headers()
                    while part := answer.read1(65_536):
                        self.wfile.write(part)
                        self.wfile.flush()
                except (OSError, http.client.HTTPException):
                    pass  # one of the two sides has gone
                finally:
                    upstream.close()

            do_GET = do_POST = do_HEAD = do_DELETE = _pass

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{path}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
