"""The consistency file: what shows that a ledger of so many entries goes on as a larger one.

It is the body of a C2SP `tlog-witness` add-checkpoint request, so that one form serves the anchor folder, the email to
the data protection officer, the verifier and a witness. Parsed by round trip, as a note is.
"""

from base64 import b64encode
from dataclasses import dataclass

from dpsync.errors import NoteInvalid
from dpsync.ledger import merkle, note

LONGEST = 63
"""Hashes of a proof, as the public format allows: no ledger of fewer than 2^62 entries needs more."""

LARGEST = note.LARGEST + 4096
"""Bytes of a file: those of a checkpoint, and the longest proof."""

_OLD = "old "


@dataclass(frozen=True, slots=True)
class Continuation:
    """`old`: entries of the smaller ledger; `proof`: RFC 6962, 2.1.2; `checkpoint`: the note over the larger one."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: str

    @property
    def text(self) -> str:
        """The bytes of the file, or of the request, as text."""
        hashes = "".join(f"{b64encode(one).decode()}\n" for one in self.proof)
        return f"{_OLD}{self.old}\n{hashes}\n{self.checkpoint}"

    @property
    def head(self) -> note.Checkpoint:
        """What the checkpoint says; nothing is known yet of who signed it."""
        return note.parse(self.checkpoint)[0]

    @property
    def name(self) -> str:
        """The two sizes, as the file is called."""
        return f"{self.old}-{self.head.size}"

    def leads_from(self, root: bytes) -> bool:
        """Whether the larger ledger begins with the one of `old` entries and that root."""
        return merkle.verify_consistency(self.old, self.head.size, root, self.head.root, self.proof)


def parse(text: str) -> Continuation:
    """Take a consistency file apart, trusting nothing yet. Raises `NoteInvalid` unless it would be printed the same."""
    above, blank, checkpoint = text.partition("\n\n")
    first, *hashes = above.split("\n")
    size = first.removeprefix(_OLD)
    if not blank or not first.startswith(_OLD) or not (size.isascii() and size.isdigit()) or len(size) > 18:
        raise NoteInvalid("it is no consistency file: the older size, the proof, an empty line, the checkpoint")
    found = Continuation(int(size), tuple(note.unb64(one) for one in hashes), checkpoint)
    misshapen = len(hashes) > LONGEST or any(len(one) != 32 for one in found.proof)
    if misshapen or found.text != text or found.old > found.head.size:
        raise NoteInvalid("the consistency file is not in the one spelling that the format allows")
    return found
