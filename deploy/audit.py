"""Say what an audit by pip-audit came to: ``audit.py REPORT.json``.

Where the database cannot be reached, pip-audit skips every package, finds nothing and ends well.
Here, what could not be looked up is counted, and an audit of nothing is a failure.

Exit status: 0 all was looked up and nothing is known, 1 vulnerabilities are known, 3 something
could not be looked up.
"""

import json
import sys
from pathlib import Path
from typing import Any

CLEAN, VULNERABLE, INCOMPLETE = 0, 1, 3


def judge(packages: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """Return the exit status, and what to say."""
    skipped = [package for package in packages if "skip_reason" in package]
    known = [
        f"{package['name']} {package['version']}: {found['id']}"
        + (f", mended in {', '.join(found['fix_versions'])}" if found["fix_versions"] else "")
        for package in packages
        for found in package.get("vulns", ())
    ]
    n = len(packages) - len(skipped)
    said = [*known, f"{n} of {len(packages)} packages looked up, {len(known)} vulnerabilities"]
    if known:
        return VULNERABLE, said
    if not n:
        return INCOMPLETE, [*said, "nothing was audited: no database of vulnerabilities answered"]
    if skipped:
        names = ", ".join(package["name"] for package in skipped)
        return INCOMPLETE, [*said, f"not looked up: {names}"]
    return CLEAN, said


def main(path: Path) -> int:
    """Read the report and print the verdict."""
    try:
        packages = json.loads(path.read_text(encoding="utf-8"))["dependencies"]
    except (OSError, ValueError, KeyError):
        packages = []
    status, said = judge(packages)
    print("\n".join(f"audit: {line}" for line in said))
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
