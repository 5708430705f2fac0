"""What a command prints for a program, compared with the shape that docs/commands.md describes."""

from collections.abc import Mapping


def paths_of(value: object, prefix: str = "") -> set[str]:
    """The paths of every leaf of a JSON value, lists as `[]`."""
    match value:
        case dict():
            return {path for key, one in value.items() for path in paths_of(one, f"{prefix}.{key}" if prefix else key)}
        case list():
            return {path for one in value for path in paths_of(one, f"{prefix}[]")}
        case _:
            return {prefix}


def documented(path: str, shape: Mapping[str, str]) -> bool:
    """Whether a path stands in a shape, itself or within an object that is described as a whole."""
    return path in shape or any(path.startswith(f"{whole}.") for whole in shape)


def undocumented(value: object, shape: Mapping[str, str]) -> set[str]:
    """The paths of a value that its shape says nothing of."""
    return {path for path in paths_of(value) if not documented(path, shape)}
