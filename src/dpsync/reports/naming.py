"""What the values of reports are called where they are printed for a program: one thing has one name everywhere."""

from collections.abc import Mapping
from typing import Final

from dpsync.reports.moments import EvidenceLine
from dpsync.reports.processors import ProcessorLine
from dpsync.reports.set_aside import SetAside
from dpsync.reports.standing import PropagationLine, RequestStanding
from dpsync.reports.status import StatusRow

REQUEST: Final = "request"
"""The full id of a request, as `submit`, the decisions and the receiver's answer call it."""

NAMES: Final[Mapping[type, Mapping[str, str]]] = {
    RequestStanding: {"id": REQUEST},
    PropagationLine: {"request_id": REQUEST},
    StatusRow: {"request_id": REQUEST},
    SetAside: {"request_id": REQUEST},
    EvidenceLine: {"request_id": "their_id"},  # the vendor's, of one call: no request of ours
    ProcessorLine: {"name": "processor"},
}
