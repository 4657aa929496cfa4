"""Failures on their way from the process of a device to the server."""

from studio import errors
from studio.device.messages import Refused
from studio.errors import AtelierError, Cancelled, OutOfMemory, RequestError, unexpected

_KNOWN: dict[str, type[AtelierError]] = {
    name: each
    for name, each in vars(errors).items()
    if isinstance(each, type) and issubclass(each, AtelierError)
}


def refused(call: int, error: BaseException) -> Refused:
    """A failure as it is sent; one that nobody has foreseen is put into a sentence."""
    name = type(error).__name__
    if name not in _KNOWN:
        return Refused(call=call, name=AtelierError.__name__, words=unexpected(error))
    facts: dict[str, str | int] = {}
    if isinstance(error, RequestError):
        facts = {"field": error.field}
    elif isinstance(error, OutOfMemory):
        facts = {"needed": error.needed, "free": error.free}
    return Refused(call=call, name=name, words=str(error), facts=facts)


def error_of(told: Refused) -> AtelierError:
    """The same failure where it has arrived."""
    kind = _KNOWN.get(told.name, AtelierError)
    if issubclass(kind, Cancelled):
        return kind()
    return kind(told.words, **told.facts)
