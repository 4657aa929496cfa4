"""Starts the studio in a container: the port is open at once, and a page says that it comes.

The port is opened here, a process of its own answers at it (waiting_room.py), and this one becomes
the studio, which takes the port over as it would from systemd. With arguments it becomes that
command of `atelier` instead.
"""

import os
import socket
import sys
from pathlib import Path

from studio.container import waiting_room

COMMAND = (sys.executable, "-P", "-m", "app")
"""`atelier`, without what lies in the working folder being taken for a part of it."""
_HANDED = 3


def main() -> None:
    """What the image does when it starts."""
    arguments = sys.argv[1:]
    take_port(os.environ)
    folder = Path(os.environ.get("ATELIER_DATA_DIR", "/data"))
    os.environ["ATELIER_DATA_DIR"] = str(folder)
    try:
        leave_root(folder, int(os.environ.get("CONTAINER_USER", "0")))
        keep_in(folder, os.environ)
        if arguments and arguments[0] != "serve":
            os.execv(COMMAND[0], [*COMMAND, *arguments])
        listener = listen(os.environ)
    except OSError as error:
        sys.exit(f"atelier: The container could not start: {error}.")
    os.environ["NOTIFY_SOCKET"] = waiting_room.open_beside(listener)
    os.dup2(listener.fileno(), _HANDED)
    os.set_inheritable(_HANDED, True)
    os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
    os.execv(COMMAND[0], [*COMMAND, *(arguments or ["serve"])])


def take_port(environment: "os._Environ[str] | dict[str, str]") -> None:
    """Mind PORT, by which many platforms say where they expect the port, unless ours is set."""
    if port := environment.get("PORT"):
        environment.setdefault("ATELIER_PORT", port)


def keep_in(folder: Path, environment: "os._Environ[str] | dict[str, str]") -> None:
    """Have all that any library keeps be in the data folder, so that one mount has everything.

    A settings file that lies there is read.
    """
    cache = folder / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "atelier.toml").is_file():
        environment.setdefault("ATELIER_CONFIG", str(folder / "atelier.toml"))
    for name, place in {
        "HOME": folder / "home",
        "XDG_CACHE_HOME": cache,
        "HF_HOME": cache / "huggingface",
        "TORCHINDUCTOR_CACHE_DIR": cache / "torchinductor",
        "TRITON_CACHE_DIR": cache / "triton",
        "CUDA_CACHE_PATH": cache / "cuda",
    }.items():
        environment[name] = str(place)


def leave_root(folder: Path, user: int) -> None:
    """Become a plain user, when the container was started as root, who may write to the folder.

    user: the image's own, 0 to stay who one is; whom the folder belongs to already goes before.

    Only the folder itself is given to that user, which takes no time however much is in it. One
    on a file system that gives nothing away is used as whoever it belongs to.
    """
    if not user or os.getuid() != 0:
        return
    folder.mkdir(parents=True, exist_ok=True)
    user = folder.stat().st_uid or user
    try:
        os.chown(folder, user, user)
    except OSError:
        print(f"atelier: {folder} cannot be given to user {user}: going on as root.", flush=True)
        return
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def listen(environment: "os._Environ[str] | dict[str, str]") -> socket.socket:
    """A socket at the address of the settings that accepts connections already."""
    host = environment.get("ATELIER_HOST", "0.0.0.0")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(environment.get("ATELIER_PORT", "7860"))))
    except (ValueError, OverflowError) as error:
        raise OSError(f"ATELIER_PORT (or PORT) is no port ({error})") from None
    listener.listen(128)
    return listener


if __name__ == "__main__":
    main()
