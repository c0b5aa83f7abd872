"""Front doors whose names are imported when first used: a room is as cheap to import as what is asked of it.

A worker that is forked must not have started gRPC, and ``muskox --help`` must not wait for NumPy.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return a package's ``__getattr__`` for the names that `homes` gives by the module that defines them.

    >>> lazy("muskox", {"errors": ["CallerError"]})("CallerError").__name__
    'CallerError'
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home_of[name]}"), name)

    return get
