"""What other programs have fetched from the hub already: the cache of huggingface_hub (HF_HOME)."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from studio.models.hashes import sha256

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository. size: in bytes. sha256: "" where the hub keeps none (small files)."""

    name: str
    size: int
    sha256: str


def cached_revision(repo: str, revision: str) -> tuple[str, list[RemoteFile]] | None:
    """The commit of a revision and the files of it that are in the cache, None for none.

    repo: as owner/name. revision: a branch, a tag or a commit, "" for the main branch.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(repo, revision=revision or None, local_files_only=True)
    except (LocalEntryNotFoundError, ValueError, OSError):
        return None
    folder = Path(str(found))
    files = [
        RemoteFile(path.relative_to(folder).as_posix(), path.stat().st_size, _checksum(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return (folder.name, files) if files else None


def cached_file(repo: str, commit: str, file: RemoteFile) -> Path | None:
    """A file of a commit in the cache, None when it is not there or not what it should be."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, file.name, revision=commit)
    if not isinstance(found, str):
        return None
    path = Path(found)
    if not path.is_file() or path.stat().st_size != file.size:
        return None
    return path if not file.sha256 or sha256([path]) == file.sha256 else None


def share(cached: Path, target: Path) -> None:
    """Let a file of the cache stand elsewhere as well: by a link where the disk is the same."""
    source = cached.resolve()
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _checksum(path: Path) -> str:
    """Large files lie in the cache under their checksum, small ones under git's."""
    name = path.resolve().name
    return name if _SHA256.fullmatch(name) else ""
