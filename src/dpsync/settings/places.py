"""Where in the text of the settings a key stands."""

import re


def line_of(names: list[str], text: str) -> int | None:
    """The line of a key, else that of its section's head. Found by reading, since the parser keeps no places."""
    head: list[str] = []
    best: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if opened := re.match(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$", line):
            head = [part.strip(" \"'") for part in opened[1].split(".")]
            reached = len(head) if head == names[: len(head)] else 0
        elif key := re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line):
            path = [*head, key[1]]
            reached = len(path) if path == names[: len(path)] else 0
        else:
            continue
        if reached and (best is None or reached > best[0]):
            best = (reached, number)
    return best[1] if best else None
