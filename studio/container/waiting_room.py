"""Answers at the studio's port until the studio does: a page that opens the studio by itself.

It shares the listening socket with the studio, so that no connection is ever refused: whoever comes
in between is served by one of them.
"""

import json
import os
import secrets
import select
import socket
import threading

from studio.container import page

_PATIENCE = 5.0
"""Seconds that a client has to say what it wants."""
_LONGEST = 16_384
_STARTING = "The studio is starting; try again in some seconds."


def open_beside(listener: socket.socket) -> str:
    """Start the waiting room as a process of its own; the name by which it is told to close.

    It closes as well when the calling process ends, which goes on at once.
    """
    name = f"@atelier-{os.getpid()}-{secrets.token_hex(8)}"
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(f"\0{name[1:]}")
    ended, alive = os.pipe()
    child = os.fork()
    if child:
        told.close()
        os.close(ended)
        # Kept open over the exec that follows: its end is the end of the studio.
        os.set_inheritable(alive, True)
        os.waitpid(child, 0)
        return name
    try:
        # The studio will not ask how this process ended; init does, once its parent is gone.
        if not os.fork():
            os.close(alive)
            serve(listener, told, ended)
    finally:
        os._exit(0)


def serve(listener: socket.socket, told: socket.socket, ended: int) -> None:
    """Answer until it is told that the studio is up, or until that has ended."""
    listener.setblocking(False)
    html = page.starting()
    answering: list[threading.Thread] = []
    watched: list[int] = [listener.fileno(), told.fileno(), ended]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if ended in ready or (told.fileno() in ready and b"READY=1" in told.recv(4096)):
            break
        if listener.fileno() in ready:
            try:
                client, _ = listener.accept()
            except OSError:
                continue  # the studio was faster, or the client has gone
            thread = threading.Thread(target=_answer, args=(client, html), daemon=True)
            thread.start()
            answering = [each for each in answering if each.is_alive()] + [thread]
    for thread in answering:
        thread.join(1.0)


def _answer(client: socket.socket, html: bytes) -> None:
    """One request, one answer."""
    with client:
        try:
            client.settimeout(_PATIENCE)
            asked = b""
            while b"\r\n\r\n" not in asked and len(asked) < _LONGEST:
                part = client.recv(4096)
                if not part:
                    break
                asked += part
            client.sendall(answer(asked, html))
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):  # or what it has not read yet would cut the answer off
                pass
        except OSError:
            return


def answer(asked: bytes, html: bytes) -> bytes:
    """The bytes of an answer to the bytes of a request."""
    line, _, headers = asked.decode("latin-1").partition("\r\n")
    method, _, rest = line.partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    status, kind = "503 Service Unavailable", "application/json"
    if path.endswith("/health"):
        status, content = "200 OK", _json(status="starting")
    elif path.endswith("/ready"):
        content = _json(waits_for=["the studio is starting"])
    elif method in ("GET", "HEAD") and "text/html" in headers:
        kind, content = "text/html; charset=utf-8", html
    else:
        content = _json(detail=_STARTING)
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
        "Cache-Control: no-store\r\nRetry-After: 2\r\nX-Atelier: starting\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else content)


def _json(**fields: object) -> bytes:
    return json.dumps(fields).encode()
