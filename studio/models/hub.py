"""Models from the Hugging Face hub: chosen files, counted, checked, and only then put in place."""

import fnmatch
import json
import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from studio.context import Context
from studio.errors import ModelError, from_os_error
from studio.events import Progress
from studio.models.drawers import PICKLES, is_transformers_folder
from studio.models.hashes import sha256
from studio.models.hub_cache import RemoteFile, cached_file, cached_revision, share
from studio.requests import DownloadRequest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Its other way of transfer neither tells how far it is nor can be stopped.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

_STAGING = ".downloading"
_SPARE = 200_000_000
"""Bytes that a disk keeps free besides the files themselves."""
_INDEX = "model_index.json"
_SMALL = ("*.json", "*.txt", "*.model")
_LEFT_OUT = ("*onnx*", "*openvino*", "*flax*", "*/.*", ".*", "*safety_checker/*")
_VARIANTS = (".fp16.", ".bf16.", ".fp32.", ".non_ema.", ".ema.")
_TOKENIZER = ("*token*.json", "vocab.*", "merges.txt", "*.model", "answerability.json", "README.md")
_NAMED = 8
"""How many files a refusal names."""
_PLAIN = re.compile(r"(?:[\w-][\w.+ -]*/)*[\w.-][\w.+ -]*")
"""Names of files that stay below their folder."""
_TELL_SECONDS = 0.4


class Hub:
    """Fetches models into a folder.

    root: the models folder. endpoint: address of the hub or of a mirror, None for the usual one
    (or HF_ENDPOINT). The token is taken from HF_TOKEN or from the file that `hf auth login` writes.
    """

    def __init__(self, root: Path, endpoint: str | None = None):
        self._root = root
        self._endpoint = endpoint

    def __call__(self, request: DownloadRequest, context: Context) -> None:
        """The work function: fetch what a request names and put it into the models folder.

        Raises ModelError in words, and Cancelled; what was fetched so far is kept for the next try.
        """
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self._endpoint, library_name="atelier")
        with _in_words(request.repo, api.endpoint):
            commit, files = self._found(api, request)
            wanted = chosen(files, request.file)
            target = self._target(request, wanted)
            staging = self._root / _STAGING / request.repo.replace("/", "--")
            self._check_room(wanted, staging)
            meter = _Meter(sum(file.size for file in wanted), context)
            for file in wanted:
                context.check()
                self._fetch(api, request.repo, commit, file, staging, meter)
        try:
            _put(staging, wanted, target, f"{request.repo}@{commit[:12]}")
        except OSError as error:
            raise from_os_error(error, f"put {request.repo} into {target}") from error

    def _found(self, api: "HfApi", request: DownloadRequest) -> tuple[str, list[RemoteFile]]:
        """Commit and files: the hub's, or without a network those that were fetched before."""
        from huggingface_hub.errors import OfflineModeIsEnabled

        try:
            info = api.model_info(
                request.repo, revision=request.revision or None, files_metadata=True, timeout=20
            )
        except Exception as error:
            if not (isinstance(error, OfflineModeIsEnabled) or _is_network(error)):
                raise
            if (cached := cached_revision(request.repo, request.revision)) is None:
                raise
            return cached
        files = [
            RemoteFile(each.rfilename, each.size or 0, each.lfs.sha256 if each.lfs else "")
            for each in info.siblings or ()
        ]
        return str(info.sha), files

    def _target(self, request: DownloadRequest, wanted: list[RemoteFile]) -> Path:
        name = request.repo.rpartition("/")[2]
        if len(wanted) == 1:
            name = PurePosixPath(wanted[0].name).name
        target = self._root / name
        if target.exists():
            raise ModelError(f"There is a {name} in the models folder already; move it away first.")
        return target

    def _check_room(self, wanted: list[RemoteFile], staging: Path) -> None:
        there = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
        needed = sum(file.size for file in wanted) - there
        self._root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._root).free
        if needed + _SPARE > free:
            raise ModelError(
                f"The download needs {needed / 1e9:,.1f} GB, but only {free / 1e9:,.1f} GB are "
                f"free in {self._root}; free some space or choose another data folder "
                "(ATELIER_DATA_DIR)."
            )

    def _fetch(
        self,
        api: "HfApi",
        repo: str,
        commit: str,
        file: RemoteFile,
        staging: Path,
        meter: "_Meter",
    ) -> None:
        """One file into the staging folder; what an earlier try left of it is gone on with."""
        # The library's own download begins anew each time; its transfer can go on from a place.
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

        meter.begin(file.size)
        target = staging / file.name
        part = target.with_name(target.name + ".part")
        target.parent.mkdir(parents=True, exist_ok=True)
        cached = None if target.exists() else cached_file(repo, commit, file)
        if cached is not None:
            part.unlink(missing_ok=True)
            share(cached, target)
        elif not target.exists():
            there = part.stat().st_size if part.exists() else 0
            if there > file.size:  # of another version, or of no known size
                part.unlink()
                there = 0
            with part.open("ab") as stream:
                http_get(
                    hf_hub_url(repo, file.name, revision=commit, endpoint=api.endpoint),
                    stream,
                    resume_size=there,
                    headers=build_hf_headers(library_name="atelier"),
                    expected_size=file.size or None,
                    tqdm_class=meter.bar(),
                )
            if file.sha256 and sha256([part]) != file.sha256:
                part.unlink()
                raise ModelError(f"{file.name} arrived damaged (its checksum differs); try again.")
            part.rename(target)
        meter.end()


def chosen(files: Iterable[RemoteFile], wanted: str) -> list[RemoteFile]:
    """The files of a repository that make a model.

    wanted: the name of one, "" for the repository's model: a diffusers folder, or its only
    safetensors file. Raises ModelError for programs, for pickles, and when it is not clear which.
    """
    listed = [file for file in files if _PLAIN.fullmatch(file.name)]
    safe = [file for file in listed if file.name.endswith(".safetensors")]
    if any(file.name.endswith(".py") for file in listed):
        raise ModelError(
            "It holds Python files, which a model may run when it is loaded; the studio takes no "
            "programs from repositories."
        )
    if wanted:
        found = [file for file in safe if file.name == wanted]
        if not found:
            raise ModelError(f"It holds no {wanted!r}; it holds {_names(safe)}.")
        return found
    if any(file.name == _INDEX for file in listed):
        return _folder(listed)
    if reader := _reader(listed):
        return reader
    if len(safe) == 1:
        return safe
    if safe:
        raise ModelError(f"It holds several models: {_names(safe)}; name the file that you want.")
    if any(file.name.endswith(PICKLES) for file in listed):
        raise ModelError(
            "It holds its weights as pickles only, which can run any code when they are opened; "
            "look for a .safetensors version of it."
        )
    raise ModelError("It holds no model.")


def _folder(files: list[RemoteFile]) -> list[RemoteFile]:
    """Of a diffusers folder what is needed: configurations, tokenizers, plain safetensors."""
    inner = [
        file
        for file in files
        if not any(fnmatch.fnmatch(file.name.lower(), each) for each in _LEFT_OUT)
    ]
    weights = [file for file in inner if "/" in file.name and file.name.endswith(".safetensors")]
    plain = [file for file in weights if not any(each in file.name for each in _VARIANTS)]
    if not plain:
        raise ModelError(
            "It holds a folder without plain safetensors weights (pickles and variants only); look "
            "for another version of it, or name a single file."
        )
    small = [
        file
        for file in inner
        if any(fnmatch.fnmatch(file.name, each) for each in _SMALL)
        and not any(each in file.name for each in _VARIANTS)
        and ("/" in file.name or file.name == _INDEX)
    ]
    return [*small, *plain]


def _reader(files: list[RemoteFile]) -> list[RemoteFile]:
    """Of a model of transformers, such as a reader, what is needed; [] where it is none."""
    outer = [file for file in files if "/" not in file.name]
    if not is_transformers_folder([file.name for file in outer]):
        return []
    wanted = ("config.json", "model*.safetensors", "model.safetensors.index.json", *_TOKENIZER)
    return [file for file in outer if any(fnmatch.fnmatch(file.name, each) for each in wanted)]


class _Meter:
    """Tells a job's listeners how much has come, and lets them stop it between two chunks."""

    def __init__(self, total: int, context: Context):
        self._total = max(1, total)
        self._context = context
        self._before = 0
        self._size = 0
        self._done = 0
        self._fetched = 0
        self._began = self._told = time.monotonic()

    def begin(self, size: int) -> None:
        """Another file of so many bytes."""
        self._size, self._done = size, 0

    def end(self) -> None:
        """It is there, however much of it had come before."""
        self._before += self._size
        self._done = 0
        self._tell()

    def more(self, count: int, *, fetched: bool) -> None:
        """Further bytes of the file; fetched: now, not in an earlier try."""
        self._context.check()
        self._done += count
        self._fetched += count if fetched else 0
        if time.monotonic() - self._told > _TELL_SECONDS:
            self._tell()

    def bar(self) -> Any:
        """The class that huggingface_hub makes its progress bar of."""
        from huggingface_hub.utils import tqdm

        meter = self

        class Bar(tqdm):
            """Shows nothing and tells the meter."""

            def __init__(self, *args: Any, **fields: Any):
                meter.more(int(fields.get("initial") or 0), fetched=False)
                super().__init__(*args, **{**fields, "disable": True})

            def update(self, n: float | None = 1) -> None:
                meter.more(int(n or 0), fetched=True)

        return Bar

    def _tell(self) -> None:
        self._told = now = time.monotonic()
        done = min(self._total, self._before + self._done)
        rate = self._fetched / max(1e-3, now - self._began)
        self._context.emit(
            Progress(
                step=-(-done // 1_000_000),
                steps=-(-self._total // 1_000_000),
                item=1,
                items=1,
                seconds_left=(self._total - done) / rate if rate > 0 else None,
                label="download",
                unit="MB",
            )
        )


class _in_words:
    """Turns what the hub and the network refuse into one sentence each."""

    def __init__(self, repo: str, endpoint: str):
        self._repo = repo
        self._endpoint = endpoint

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        from huggingface_hub import errors

        repo, hub = self._repo, self._endpoint
        reason = ""
        if isinstance(error, ModelError):
            reason = f"{repo} cannot be taken. {error}"
        elif isinstance(error, errors.GatedRepoError):
            reason = (
                f"{repo} is gated: accept its terms at {hub}/{repo} and give the studio your token "
                "(HF_TOKEN, or `hf auth login`)."
            )
        elif isinstance(error, errors.RevisionNotFoundError):
            reason = f"{repo} has no such revision; leave it empty for the newest."
        elif isinstance(error, errors.RepositoryNotFoundError):
            reason = (
                f"There is no public model {repo} at {hub}; check its spelling, or give the studio "
                "a token that may see it (HF_TOKEN, or `hf auth login`)."
            )
        elif isinstance(error, errors.OfflineModeIsEnabled):
            reason = f"{repo} cannot be fetched: HF_HUB_OFFLINE forbids it; unset it to download."
        elif isinstance(error, errors.HfHubHTTPError):
            status = error.response.status_code if error.response is not None else "?"
            reason = f"{hub} refused {repo} with status {status}; try again later."
        elif _is_network(error):
            reason = (
                f"{hub} could not be reached ({type(error).__name__}); check the network, or copy "
                "the model into the models folder by hand."
            )
        elif isinstance(error, OSError):
            raise from_os_error(error, f"download {repo}") from error
        if reason:
            raise ModelError(reason) from error


def _is_network(error: BaseException | None) -> bool:
    """Whether it is one of the faults of whatever HTTP library huggingface_hub uses."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    names = {each.__name__ for each in type(error).__mro__}
    return isinstance(error, LocalEntryNotFoundError | ConnectionError) or bool(
        names & {"TransportError", "RequestError", "ConnectError", "TimeoutException"}
    )


def _put(staging: Path, wanted: list[RemoteFile], target: Path, source: str) -> None:
    """Move what has come to where models are, with a note of where it came from."""
    if len(wanted) == 1:
        shutil.move(staging / wanted[0].name, target)
        note = target.with_suffix(".json")
    else:
        needed = {file.name for file in wanted}
        for path in list(staging.rglob("*")):
            if path.is_file() and path.relative_to(staging).as_posix() not in needed:
                path.unlink()
        shutil.move(staging, target)
        note = target / "notes.json"
    if not note.exists():
        note.write_text(json.dumps({"source": source}), encoding="utf-8")
    shutil.rmtree(staging, ignore_errors=True)


def _names(files: list[RemoteFile]) -> str:
    shown = ", ".join(file.name for file in files[:_NAMED])
    more = len(files) - _NAMED
    return (f"{shown} and {more} more" if more > 0 else shown) or "no safetensors files"
