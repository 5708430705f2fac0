"""A host that cannot be found, or whose TLS is not in order, gets no byte of what was to be said."""

import socket
import ssl
import threading
import warnings
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.http import TLS_FAILED, UNREACHABLE, HttpClient
from tests.certificates import Authority, Certificate, certificate_for
from tests.faults.counting import Counted
from tests.standins.names import asking, name_server
from tests.unit.test_http import BODY, OK, TEMPLATE, StillClock, failure, peer, says


@pytest.mark.fault(13)
def test_whatever_a_name_server_answers_a_host_without_an_address_gets_nothing(
    tmp_path: Path, counted: Counted
) -> None:
    lost = ["nxdomain", "servfail", "refused", "nothing", "silent", "garbage"]
    with name_server() as asked, peer(says(OK), certificate_for(tmp_path).server) as server:
        urls = [f"https://{name}.example:{server.url.rpartition(':')[2]}/" for name in (*lost, "found")]
        *became, found = asking(tmp_path, "tests.standins.calling", *urls)
    assert {f"{name}.example" for name in lost} <= set(asked)
    assert [(reason, sent) for reason, sent, _ in became] == [(UNREACHABLE, False)] * len(lost)
    assert all(seconds < 30 for _, _, seconds in became), "no look-up takes longer than the resolver's own limits"
    assert (found[0], server.connections) == (TLS_FAILED, 1), "this one was found"
    counted(13, lost=sum(sent for _, sent, _ in became))


def old(certificate: Certificate, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A server that speaks one old version alone."""
    with warnings.catch_warnings(action="ignore"):
        certificate.server.minimum_version = certificate.server.maximum_version = version
    certificate.server.set_ciphers("ALL:@SECLEVEL=0")
    return certificate.server


def server_of(what: str, ours: Authority, folder: Path) -> ssl.SSLContext:
    ago, later = timedelta(days=-1), timedelta(days=2)
    match what:
        case "out of date":
            return ours.certificate(folder, begins=2 * ago, ends=ago).server
        case "not valid yet":
            return ours.certificate(folder, begins=-ago, ends=later).server
        case "another name":
            return ours.certificate(folder, "example.org").server
        case "signed by itself":
            return certificate_for(folder).server
        case "of a stranger":
            return Authority(ours.name).certificate(folder).server
        case "TLS 1.0":
            return old(ours.certificate(folder), ssl.TLSVersion.TLSv1)
        case "TLS 1.1":
            return old(ours.certificate(folder), ssl.TLSVersion.TLSv1_1)
    return ours.certificate(folder).server


WRONG = ["out of date", "not valid yet", "another name", "signed by itself", "of a stranger", "TLS 1.0", "TLS 1.1"]


@pytest.mark.fault(14)
@pytest.mark.parametrize("what", WRONG)
def test_tls_that_is_not_in_order_gets_no_byte(what: str, tmp_path: Path, counted: Counted) -> None:
    ours, heard = Authority("our authority"), list[bytes]()
    trusted = ours.trusted(tmp_path)

    def script(sock: socket.socket, over: threading.Event) -> None:
        heard.append(sock.recv(100))

    with HttpClient(StillClock(), longest=60) as client:
        client._session.verify = str(trusted)
        with peer(says(OK, BODY), server_of("", ours, tmp_path)) as server:
            assert client.call("GET", server.url.replace("127.0.0.1", "localhost"), template=TEMPLATE).status == 200
        with peer(script, server_of(what, ours, tmp_path)) as server:
            refused = failure(client, server.url.replace("127.0.0.1", "localhost"))
    assert (refused.reason, refused.sent) == (TLS_FAILED, False)
    counted(14, bytes_sent=sum(map(len, heard)))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_the_old_servers_of_these_tests_do_speak_with_old_clients(version: ssl.TLSVersion, tmp_path: Path) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings(action="ignore"):
        client.minimum_version = version
    client.set_ciphers("ALL:@SECLEVEL=0")
    with peer(says(OK), old(certificate_for(tmp_path), version)) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as plain, client.wrap_socket(plain) as spoken:
            assert spoken.version() == version.name.replace("_", ".")
            spoken.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert spoken.recv(100).startswith(b"HTTP/1.1 200")
