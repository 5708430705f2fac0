"""`make audit`: whether a fault is known in anything that requirements.lock pins; 75 where nobody can be asked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from release.parts import LOCK

DONE, FOUND, NOT_ASKED = 0, 2, 75
AUDIT: Final = ("--requirement", str(LOCK), "--require-hashes", "--disable-pip", "--progress-spinner", "off")


def told(answer: str) -> tuple[int, str]:
    """(exit code, what to say) of what pip-audit printed as JSON: anything else is no answer, so nothing is known."""
    try:
        seen = json.loads(answer)["dependencies"]
        faults = [
            f"{one['name']} {one['version']}: {fault['id']}, mended by {', '.join(fault['fix_versions']) or 'none yet'}"
            for one in seen
            for fault in one.get("vulns", ())
        ]
        skipped = [f"{one['name']}: not looked at, {one['skip_reason']}" for one in seen if "skip_reason" in one]
    except (ValueError, KeyError, TypeError):
        return NOT_ASKED, "The data about known faults cannot be reached from here. Nothing is known, good or bad."
    if faults:
        return FOUND, "\n".join([*faults, *skipped])
    if not seen or len(skipped) == len(seen):
        return NOT_ASKED, "\n".join([*skipped, "Nothing was looked at, so nothing is known."])
    return DONE, "\n".join([*skipped, f"No fault is known in {len(seen) - len(skipped)} parts."])


def main(program: Path) -> int:
    """Ask with that pip-audit, and print what it found."""
    ended = subprocess.run([program, "--format", "json", *AUDIT], capture_output=True, text=True, check=False)
    code, words = told(ended.stdout)
    print(words)
    if code == NOT_ASKED and (lines := ended.stderr.strip().splitlines()):
        print(f"pip-audit ended with {ended.returncode}: {lines[-1]}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
