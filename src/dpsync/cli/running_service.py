"""Whether `dpsync serve` runs on this machine and how it is, as its own /readyz says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SECONDS = 5.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - because they are compared, nothing is bound


class Serving(StrEnum):
    """Who answers where the receiver listens."""

    READY = "ready"
    NOT_READY = "not ready"
    NOBODY = "nobody"
    ELSEWHERE = "another dpsync"
    OTHER = "another program"


@dataclass(frozen=True, slots=True)
class Heard:
    """What /readyz said; `said` is its JSON where it is ours."""

    serving: Serving
    said: Mapping[str, object] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The same in words."""
        match self.serving:
            case Serving.READY:
                return "`dpsync serve` runs and is ready"
            case Serving.NOT_READY:
                parts = ", ".join(
                    f"{part} {self.said[part]}" for part in ("worker", "timed", "disks") if part in self.said
                )
                return f"`dpsync serve` runs, but is not ready: {parts or 'it cannot reach its database'}"
            case Serving.NOBODY:
                return "`dpsync serve` is not running"
            case Serving.ELSEWHERE:
                return f"a dpsync with other settings answers there, that of the ledger {self.said['ledger']}"
            case Serving.OTHER:
                return "another program answers there"


def ask(listen: str, origin: str) -> Heard:
    """Ask who answers at `listen` (host:port), for at most a few seconds. Never raises because of the other side.

    `origin`: the name of our ledger. A rehearsal beside the real service would else be taken for it.
    """
    import requests

    host, _, port = listen.rpartition(":")
    with requests.Session() as session:
        session.trust_env = False  # a proxy of this shell would be asked for our own machine
        try:
            answer = session.get(
                f"http://{_EVERYWHERE.get(host, host)}:{port}/readyz", timeout=SECONDS, allow_redirects=False
            )
            said = answer.json()
        except requests.exceptions.JSONDecodeError:
            return Heard(Serving.OTHER)
        except requests.exceptions.ConnectTimeout:
            return Heard(Serving.NOBODY)
        except requests.exceptions.ConnectionError as error:
            return Heard(Serving.NOBODY if _is_refused(error) else Serving.OTHER)
        except requests.exceptions.RequestException:
            return Heard(Serving.OTHER)
    return _heard(said, answer.status_code, origin) if isinstance(said, dict) else Heard(Serving.OTHER)


def _heard(said: dict[str, object], status: int, origin: str) -> Heard:
    ready = said.get("status") == "ready" and status == 200
    # 503 with "error": it could not ask its database
    if not ready and not (status == 503 and ("worker" in said or "error" in said)):
        return Heard(Serving.OTHER)
    if said.get("ledger", origin) != origin:
        return Heard(Serving.ELSEWHERE, said)
    return Heard(Serving.READY if ready else Serving.NOT_READY, said)


def _is_refused(error: BaseException) -> bool:
    """Whether nobody listens; anything else that breaks a connection is somebody."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ConnectionRefusedError):
            return True
        reason = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        seen = seen.__cause__ or seen.__context__ or (reason if isinstance(reason, BaseException) else None)
    return False
