"""Write a kept patch anew: `python tests/adding/make.py KIND`, from a clean working tree.

1. `git apply tests/adding/KIND.patch`, or `patch -p1 --merge < ...` where it no longer applies;
2. mend what the package asks for now;
3. this script: the working tree's changes become the patch, and are taken back.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CHANGED = ("neurorobust", "pyproject.toml")  # what a patch may touch


def main(kind: str) -> None:
    root = HERE.parents[1]
    subprocess.run(["git", "add", "--intent-to-add", *CHANGED], cwd=root, check=True)
    shown = ["git", "diff", "--unified=1", "--no-renames", "--", *CHANGED]
    patch = subprocess.run(shown, cwd=root, check=True, capture_output=True, text=True).stdout
    if not patch:
        raise SystemExit(f"{kind}: nothing has changed in {' or '.join(CHANGED)}")
    lines = [line for line in patch.splitlines() if not line.startswith("index ")]
    path = HERE / f"{kind}.patch"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    subprocess.run(["git", "reset", "--quiet", "--", *CHANGED], cwd=root, check=True)
    subprocess.run(["git", "apply", "--reverse", "--unidiff-zero", str(path)], cwd=root, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
