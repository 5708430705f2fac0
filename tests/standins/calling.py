"""Run as a program: calls each URL once, and prints what became of each."""

import json
import sys
import time

from dpsync.connector_services import NoAnswer
from dpsync.http import HttpClient
from dpsync.installation import SystemClock


def main(urls: list[str]) -> None:
    became: list[tuple[str, bool, float]] = []
    with HttpClient(SystemClock()) as client:
        for url in urls:
            began = time.monotonic()
            try:
                client.call("POST", url, template="POST /people", body=b"{}")
            except NoAnswer as refused:
                became.append((refused.reason, refused.sent, time.monotonic() - began))
    sys.stdout.write(json.dumps(became))


if __name__ == "__main__":
    main(sys.argv[1:])
