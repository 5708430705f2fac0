"""What a release is made of: every part of the lock is told, nothing unknown is good, and two builds are the same."""

import json
import re
from pathlib import Path

import pytest

from release import audit
from release.bill import bill, licences
from release.files import ROOT, built, copied, unpacked
from release.parts import LOCK, LockedPart, Use, parts

CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found() -> list[LockedPart]:
    return parts()


def test_every_part_of_the_lock_is_in_the_bill_with_its_hashes(found: list[LockedPart]) -> None:
    lock = LOCK.read_text(encoding="utf-8")
    value = json.loads(bill(found))
    assert (value["bomFormat"], value["specVersion"]) == ("CycloneDX", "1.6")
    assert len(value["components"]) == len(re.findall(r"^\S+==", lock, re.MULTILINE))
    assert sum(len(one["hashes"]) for one in value["components"]) == lock.count("--hash=sha256:")
    refs = {one["bom-ref"] for one in value["components"]}
    assert len(refs) == len(value["components"])
    for one in value["dependencies"]:
        assert set(one["dependsOn"]) <= refs
    (ours, *_) = value["dependencies"]
    assert {"requests", "sqlalchemy", "urllib3"} <= {ref.split("/")[1].split("@")[0] for ref in ours["dependsOn"]}


def test_the_same_lock_gives_the_same_bill(found: list[LockedPart]) -> None:
    assert bill(found) == bill(list(found))
    assert "timestamp" not in bill(found)


def test_what_is_for_development_alone_is_not_called_a_part_of_the_service(found: list[LockedPart]) -> None:
    use = {one.name: one.use for one in found}
    assert use["requests"] is Use.SERVICE
    assert use["psycopg"] is Use.EXTRA
    assert use["pytest"] is Use.DEVELOPMENT


def test_a_licence_that_is_not_known_is_said_and_not_made_up(found: list[LockedPart]) -> None:
    page = licences(found)
    for one in found:
        assert f"| {one.name} | {one.version} |" in page
    assert [one.name for one in found if one.use is Use.SERVICE and not one.licence] == ["mailchimp-marketing"]
    assert "## not known here" in page


def test_another_version_than_that_of_the_lock_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"requests==0.0.1 \\\n    --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"requests .*make install"):
        parts(lock)


@pytest.mark.parametrize(
    ("answer", "code", "word"),
    [
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', 0, "No fault is known in 1 parts"),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}]}',
            2,
            "a 1: CVE-1, mended by 2",
        ),
        ('{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', 75, "nothing is known"),
        ('{"dependencies": []}', 75, "nothing is known"),
        ("", 75, "cannot be reached"),
        ("[]", 75, "cannot be reached"),
        ('{"dependencies": [{"vulns": [{}]}]}', 75, "cannot be reached"),
    ],
)
def test_an_audit_that_nobody_answered_is_no_good_one(answer: str, code: int, word: str) -> None:
    assert audit.told(answer)[0] == code
    assert word in audit.told(answer)[1]


def test_the_wheel_is_the_same_bytes_of_the_sources_and_of_their_archive(tmp_path: Path) -> None:
    first = built(ROOT, tmp_path / "one", "wheel")
    assert len(first) == 1
    built(copied(tmp_path / "source"), tmp_path / "two", "sdist")
    archive = unpacked([*(tmp_path / "two").iterdir()], tmp_path / "unpacked")
    assert built(archive, tmp_path / "three", "wheel") == first


# --- the image


def test_the_image_takes_no_part_that_was_not_checked_by_its_hash() -> None:
    installs = re.findall(r"pip (\w+) ([^&]*)", CONTAINERFILE)
    assert [words for verb, words in installs if verb == "download" and "--require-hashes" not in words] == []
    assert [words for verb, words in installs if verb == "install" and "--no-index" not in words] == []
    assert {verb for verb, _ in installs} == {"download", "install"}


def test_the_image_runs_the_service_as_nobody_special_and_holds_nothing_of_yours() -> None:
    lines = CONTAINERFILE.splitlines()
    (user,) = [line for line in lines if line.startswith("USER ")]
    assert user == "USER 8460:8460"
    assert lines[-2:] == ['ENTRYPOINT ["dpsync"]', 'CMD ["serve"]']
    assert any(line.startswith("HEALTHCHECK ") and '"dpsync", "health"' in line for line in lines)
    last = lines[max(at for at, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert [line for line in last if line.startswith(("COPY", "ADD"))] == ["COPY --from=built /opt/dpsync /opt/dpsync"]


def test_the_image_is_built_from_files_that_there_are_and_that_are_not_left_out() -> None:
    kept = {
        line[1:] for line in (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    copied_in = {
        name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE) for name in line.split()
    }
    assert copied_in == kept
    assert [name for name in copied_in if not (ROOT / name).exists()] == []
