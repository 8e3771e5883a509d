"""What the image does last: compile into an installation."""

import subprocess
import sys
from pathlib import Path

import mypy_extensions
import typing_extensions

from tests.deployed import DEPLOY

#: Enough to see it work, and quickly compiled.
MODULE = "services/shared/instant.py"


def test_an_installation_is_compiled_in_place(tmp_path: Path) -> None:
    """Although it holds modules that mypy wants for itself; what is not ours stays as it was."""
    strangers = [Path(module.__file__ or "") for module in (typing_extensions, mypy_extensions)]
    for path in strangers:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    subprocess.run([sys.executable, DEPLOY / "compile.py", tmp_path, MODULE], check=True, capture_output=True)
    (compiled,) = tmp_path.glob("services/shared/instant.*.so")
    assert compiled.stat().st_size
    assert {path.name for path in tmp_path.iterdir() if path.is_file() and path.suffix == ".py"} == {
        path.name for path in strangers
    }
    assert not (tmp_path / ".mypy_cache").exists()
