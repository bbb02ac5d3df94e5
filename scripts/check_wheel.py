"""Build the wheel and the sdist, check their contents, and use the wheel in an empty environment.

Run by `make wheel`. Exits with code 1 and a one-line message if a check fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
NOT_SHIPPED = {".ci", "benchmarks", "docs", "examples", "scripts", "tests"}
# In the README: the extras, if any, of a command that installs flskew.
PIP_LINE = re.compile(r"^pip install '?flskew(\[[\w,]+\])?'?$", re.MULTILINE)
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# Import the package and every public name, in an environment with only the wheel.
FIRST_LINE = """
import sys
import flskew
heavy = {"datasets", "flwr", "flwr_datasets", "matplotlib", "pandas", "pyarrow", "ray", "sklearn", "torch"}
loaded = sorted(heavy & sys.modules.keys())
assert not loaded, f"import flskew loads {loaded}"
assert "site-packages" in flskew.__file__, f"this is not the installed wheel: {flskew.__file__}"
for name in flskew.__all__:
    getattr(flskew, name)
print(f"flskew {flskew.__version__}: {len(flskew.__all__)} public names, all importable")
"""


def main() -> None:
    """Build, inspect, install, use."""
    wheel, sdist = build()
    check_wheel(wheel)
    check_sdist(sdist)
    run([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)], cwd=ROOT)
    with tempfile.TemporaryDirectory(prefix="flskew-wheel-") as folder:
        use(wheel, Path(folder))
    print(f"wheel: {wheel.name} and {sdist.name} are complete; the README's code runs with what it says to install")


def build() -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it, which shows that the sdist is complete."""
    shutil.rmtree(DIST, ignore_errors=True)
    run([sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT)], cwd=ROOT, quiet=True)
    (wheel,) = DIST.glob("*.whl")
    (sdist,) = DIST.glob("*.tar.gz")
    return wheel, sdist


def check_wheel(wheel: Path) -> None:
    """Check that the wheel contains exactly the package."""
    names = set(zipfile.ZipFile(wheel).namelist())
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    package = ROOT / "src"
    sources = {
        path.relative_to(package).as_posix()
        for path in (package / "flskew").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    found = {name for name in names if not name.startswith(f"{info}/")}
    require(found == sources, f"{wheel.name} differs from src in {sorted(found ^ sources)}")
    require("flskew/py.typed" in names, f"{wheel.name} lacks py.typed")
    require(f"{info}/licenses/LICENSE" in names, f"{wheel.name} lacks its LICENSE")


def check_sdist(sdist: Path) -> None:
    """Check that the sdist contains what a build needs, and no tests."""
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    package = ("src/flskew/py.typed", "src/flskew/skew/_record.json")
    for needed in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", *package):
        require(needed in names, f"{sdist.name} lacks {needed}")
    stray = sorted(name for name in names if name.split("/")[0] in NOT_SHIPPED)
    require(not stray, f"{sdist.name} contains {stray}")


def use(wheel: Path, folder: Path) -> None:
    """Install the wheel in an empty environment and import it, then follow the README there."""
    python, pip = pip_of(folder / "venv")
    run([*pip, "install", str(wheel)], cwd=folder)
    run([*pip, "check"], cwd=folder)
    run([str(python), "-I", "-c", FIRST_LINE], cwd=folder)
    readme = (ROOT / "README.md").read_text("utf-8")
    blocks, installed = PYTHON_BLOCK.findall(readme), PIP_LINE.findall(readme)
    require(bool(blocks and installed), "README.md has no python block to run, or does not say what to install")
    run([*pip, "install", *(f"{wheel}{extras}" for extras in installed)], cwd=folder)
    script = folder / "readme.py"
    script.write_text("\n".join(blocks), "utf-8")
    run([str(python), "-I", str(script)], cwd=folder)


def pip_of(folder: Path) -> tuple[Path, list[str]]:
    """Create an environment; return its interpreter and the beginning of its pip commands."""
    run([sys.executable, "-m", "venv", str(folder)], cwd=folder.parent)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    return python, [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]


def run(command: list[str], *, cwd: Path, quiet: bool = False) -> None:
    """Run a command; if it fails, print its output and exit."""
    result = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if not quiet or result.returncode:
        print(result.stdout, end="", flush=True)
    require(result.returncode == 0, f"exit code {result.returncode} from {' '.join(command[:4])} ...")


def require(holds: bool, otherwise: str) -> None:
    """Exit with a message unless a condition holds."""
    if not holds:
        sys.exit(f"wheel: {otherwise}")


if __name__ == "__main__":
    main()
