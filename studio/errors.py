"""The tree of failures that a person may meet.

Every message is one sentence that says what failed, the value and what to do.
The doors (tabs, routes, commands) translate these; anything else is a bug.
"""


class AtelierError(Exception):
    """A failure with a sentence for a person."""


class SettingsError(AtelierError):
    """A setting has a value that cannot be used."""


class RequestError(AtelierError):
    """A request asks for something that cannot be done.

    field: name of the request's field at fault, or "" when it is the whole request.
    """

    def __init__(self, message: str, field: str = ""):
        super().__init__(message)
        self.field = field


class QueueFull(RequestError):
    """As many jobs wait as may."""


class QuotaUsed(QueueFull):
    """A person has used up what they may have; seconds: until there is room again, 0 if unknown."""

    def __init__(self, message: str, seconds: float = 0.0):
        super().__init__(message)
        self.seconds = seconds


class PromptError(RequestError):
    """A prompt cannot be encoded."""


class ModelError(AtelierError):
    """A model is missing, damaged or of a sort that cannot be loaded."""


class OutOfMemory(ModelError):
    """A model or a step does not fit into what is free on the device.

    needed, free: bytes, 0 where they are not known.
    """

    def __init__(self, message: str, needed: int = 0, free: int = 0):
        super().__init__(message)
        self.needed = needed
        self.free = free


class DeviceBusy(AtelierError):
    """Somebody has the device alone, for longer than is waited."""


class MetadataError(AtelierError):
    """A file has no settings that can be read."""


class InputError(AtelierError):
    """An uploaded file is no picture that can be used."""


class DataError(AtelierError):
    """A data set, a predictions file or a document cannot be used as it is."""


class StorageError(AtelierError):
    """Something could not be written or read back: disk full, read-only, gone."""


class NotFound(AtelierError):
    """An id names nothing that is there."""


class Forbidden(AtelierError):
    """What somebody may see, but may not do or have done by their role."""


class Cancelled(AtelierError):
    """The person who asked for a job has taken it back."""

    def __init__(self) -> None:
        super().__init__("Cancelled.")


class ServerEnds(Cancelled):
    """The server ends, which is nobody's wish to stop the job."""


class DeviceLost(AtelierError):
    """The process of a device has died, or was ended because it showed no sign of life.

    to_blame: whether the job that is told so may have been the reason.
    """

    def __init__(self, message: str, *, to_blame: bool = True):
        super().__init__(message)
        self.to_blame = to_blame


def unexpected(error: BaseException) -> str:
    """The sentence for a fault in a job that nobody has foreseen."""
    return (
        f"An unexpected fault stopped the job ({type(error).__name__}: {first_words(error)}); "
        "the log has the details."
    )


def from_os_error(error: OSError, doing: str) -> StorageError:
    """A StorageError with a sentence for an operating system's refusal.

    doing: what was tried, as in "save the picture to /data/outputs".
    """
    import errno

    in_the_way = "a file is in the way; move it or choose another data folder (ATELIER_DATA_DIR)"
    reasons = {
        errno.ENOSPC: "the disk is full; free some space and try again",
        errno.EDQUOT: "the disk quota is used up; free some space and try again",
        errno.EROFS: "the file system is read-only; choose another data folder (ATELIER_DATA_DIR)",
        errno.EACCES: "permission is denied; choose another data folder (ATELIER_DATA_DIR)",
        errno.EPERM: "permission is denied; choose another data folder (ATELIER_DATA_DIR)",
        errno.EEXIST: in_the_way,
        errno.ENOTDIR: in_the_way,
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return StorageError(f"Could not {doing}: {reason}.")


def first_words(error: BaseException, most: int = 200) -> str:
    """What a foreign error says, in at most so many characters; its class's name if nothing.

    Where its first line is a heading, as torch's are, the second one belongs to it.
    """
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:most]
