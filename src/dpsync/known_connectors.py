"""Which connectors there are: the modules of `dpsync.connectors`, found by name."""

import importlib
import inspect
from importlib.util import find_spec
from pathlib import Path

from dpsync.connector import Connector
from dpsync.errors import Fault


def connector_names() -> list[str]:
    """The connectors there are: the modules of `dpsync.connectors`. A new file, or folder, is a new connector."""
    spec = find_spec("dpsync.connectors")
    folders = spec.submodule_search_locations if spec else None
    there = [path for folder in folders or () for path in Path(folder).glob("[a-z]*")]
    return sorted(path.stem for path in there if path.suffix == ".py" or (path / "__init__.py").exists())


def connector_class(name: str) -> type[Connector] | None:
    """The connector of that name, None where there is none."""
    if name not in connector_names():
        return None
    module = importlib.import_module(f"dpsync.connectors.{name}")
    for _, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, Connector) and getattr(found, "name", None) == name:
            return found
    return None


def unknown_connector(name: str) -> Fault:
    """What is wrong with a processor's section that names a connector that there is not."""
    return Fault(
        f"processors.{name}.connector", f"no such connector. The connectors are: {', '.join(connector_names())}"
    )
