"""Whether the receipts in the receipts folder tell what the ledger tells, and none of a forgotten request is gone.

Any other receipt is written anew where it is gone or spoilt. Of what is forgotten nobody has the key any more but this
file, and whoever knows the person's address. And whoever has the signing key could have left an entry out of one.
"""

import shlex
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, select

from dpsync.ledger import stored
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.receipt_folder import ReceiptFolder, digest_of
from dpsync.ledger.told import readable
from dpsync.store import tables as t

PAGE = 500
_E, _R = t.entry.c, t.request.c


def problems(connection: Connection, folder: ReceiptFolder) -> Iterator[str]:
    """A sentence for each receipt that is no receipt, tells otherwise than the ledger, or is gone for good.

    Files are read in the view of this moment: one that was written since tells of entries that are not known here, and
    is not compared.
    """
    forgotten = set(connection.execute(select(_R.id).where(_R.shredded_at.is_not(None))).scalars())
    told, size = folder.told(), stored.size(connection)
    for request_id in sorted({*forgotten, *told}):
        found = told.get(request_id)
        if found is None and not folder.lost(request_id):
            yield _spoilt(folder, request_id, stands=request_id in told, forgotten=request_id in forgotten)
    ids = [one for one, found in sorted(told.items()) if found is not None and found[0] <= size]
    for at in range(0, len(ids), PAGE):
        page = ids[at : at + PAGE]
        entries = _entries(connection, page)
        for request_id in page:
            until, digest = told[request_id] or (0, b"")
            known = entries.get(request_id, [])
            if request_id in forgotten:  # what was kept last tells all that came before it was forgotten
                until = next((idx for idx, body in known if _is_shredding(body)), until)
            if digest_of(one for one in known if one[0] < until) != digest:
                yield _otherwise(folder, request_id, forgotten=request_id in forgotten)


def untold(connection: Connection, folder: ReceiptFolder, ids: Sequence[str]) -> list[str]:
    """Those without a receipt in the folder that tells every one of their entries up to this moment."""
    found = []
    for at in range(0, len(ids), PAGE):
        page = ids[at : at + PAGE]
        entries = _entries(connection, page)
        kept = {one: folder.told_of(one) for one in page}
        found += [one for one in page if (kept[one] or (0, b""))[1] != digest_of(entries.get(one, []))]
    return found


def _entries(connection: Connection, ids: Sequence[str]) -> dict[str, list[tuple[int, bytes]]]:
    found: dict[str, list[tuple[int, bytes]]] = {}
    query = select(_E.idx, _E.request_id, _E.body).where(_E.request_id.in_(ids)).order_by(_E.idx)
    for idx, request_id, body in connection.execute(query):
        found.setdefault(request_id, []).append((idx, stored.raw(body)))
    return found


def _is_shredding(body: bytes) -> bool:
    said = readable(body)
    return said is not None and said["event"] == EntryKind.SHREDDED


def _spoilt(folder: ReceiptFolder, request_id: str, *, stands: bool, forgotten: bool) -> str:
    what = "is not the receipt that was written there" if stands else "is not there any more"
    return f"{folder.place(request_id)} {what}: {_way_out(folder, request_id, forgotten=forgotten)}"


def _otherwise(folder: ReceiptFolder, request_id: str, *, forgotten: bool) -> str:
    way_out = _way_out(folder, request_id, forgotten=forgotten)
    return f"{folder.place(request_id)} does not tell all that the ledger tells of its request: {way_out}"


def _way_out(folder: ReceiptFolder, request_id: str, *, forgotten: bool) -> str:
    if not forgotten:
        return "move it away; dpsync writes another one where the request is closed"
    gap = shlex.quote(str(folder.place(request_id).with_suffix(".gap")))
    return (
        "the request is forgotten, so only whoever has the person's address can have another one made (`dpsync find "
        "--email ADDRESS -o DIR`). Put it back from a copy, or, where it is lost for good, make an empty file: "
        f"`touch {gap}`"
    )
