"""`python -m release`: the bill of materials and the list of licences, into dist/."""

from release.bill import bill, licences
from release.files import ROOT
from release.parts import parts

if __name__ == "__main__":
    found, dist = parts(), ROOT / "dist"
    dist.mkdir(exist_ok=True)
    (dist / "dpsync.cdx.json").write_text(bill(found), encoding="utf-8")
    (dist / "licences.md").write_text(licences(found), encoding="utf-8")
    print(f"{len(found)} parts: dist/dpsync.cdx.json and dist/licences.md")
