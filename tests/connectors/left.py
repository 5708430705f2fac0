"""What a call leaves behind: the files that were written meanwhile, and everything that an object still reaches."""

import gc
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR
DEEDS = frozenset(
    {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.system", "os.posix_spawn", "os.exec", "os.fork"}
    | {"subprocess.Popen", "sqlite3.connect", "dbm.open"}
)
"""What besides opening a file leaves something on the disk, or lets another program do so."""

_watching: list[list[str]] = []


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if not _watching:
        return
    opened = event == "open" and isinstance(args[0], str | bytes) and args[2] & WRITES
    if not opened and event not in DEEDS:
        return
    names = [os.fsdecode(one) for one in args if isinstance(one, str | bytes)]
    compiled = any("__pycache__" in name for name in names)  # by Python, of a module that is imported late
    if not compiled and os.devnull not in names:
        _watching[-1].append(event)


sys.addaudithook(_watch)  # for good: Python takes none away, and a spy on `open` would not see `os.open`


@contextmanager
def written() -> Iterator[list[str]]:
    """By what means something was written to the disk within, wherever."""
    seen: list[str] = []
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)


def texts_in(root: object, *, but: tuple[object, ...]) -> str:
    """Every text that can be reached from an object and its classes, whatever holds it; not through `but`."""
    own = [vars(one) for one in type(root).__mro__ if one is not object]
    return "\n".join(_reached([root, *(value for names in own for value in names.values())], but))


def kept_in_modules(root: object) -> Counter[str]:
    """Every text that the modules of an object's classes keep in names of their own, and how often.

    To be compared with what they kept before: a test's module has the names of its people. What they import is not
    theirs: `urllib.parse.urlsplit` remembers addresses, whoever asks.
    """
    modules = {sys.modules[one.__module__] for one in type(root).__mro__ if one.__module__ != "builtins"}
    own = [
        (value for value in vars(one).values() if getattr(value, "__module__", one.__name__) == one.__name__)
        for one in modules
    ]
    return Counter(text for values in own for text in _reached(list(values), ()))


def _reached(ahead: list[object], but: tuple[object, ...]) -> list[str]:
    met: dict[int, object] = {id(one): one for one in but}
    texts: list[str] = []
    while ahead:
        one = ahead.pop()
        key = id(one)
        if key in met or isinstance(one, _NOT_THEIRS):
            continue
        met[key] = one
        if isinstance(one, str):
            texts.append(one)
        elif isinstance(one, _BYTES):
            texts.append(one.decode("latin-1"))
        elif isinstance(one, FunctionType):
            ahead += [one.__closure__, one.__defaults__, one.__kwdefaults__, one.__dict__]
        else:
            ahead += gc.get_referents(one)
    return texts


# Made once: `isinstance` is asked of millions of objects.
_NOT_THEIRS, _BYTES = (type, ModuleType), (bytes, bytearray)
