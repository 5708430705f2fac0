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
            case Serving.OTHER:
                return "another program answers there"


def ask(listen: str) -> Heard:
    """Ask who answers at `listen` (host:port), for at most a few seconds. Never raises because of the other side."""
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
    if isinstance(said, dict) and said.get("status") == "ready" and answer.status_code == 200:
        return Heard(Serving.READY, said)
    # 503 with "error": it could not ask its database
    ours = isinstance(said, dict) and answer.status_code == 503 and ("worker" in said or "error" in said)
    return Heard(Serving.NOT_READY, said) if ours else Heard(Serving.OTHER)


def _is_refused(error: BaseException) -> bool:
    """Whether nobody listens; anything else that breaks a connection is somebody."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ConnectionRefusedError):
            return True
        reason = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        seen = seen.__cause__ or seen.__context__ or (reason if isinstance(reason, BaseException) else None)
    return False
