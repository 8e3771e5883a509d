"""Compiles the hot path with mypyc, into a directory that already holds or then gets the packages.

    python deploy/compile.py .cache/compiled      # a copy of the packages, with compiled modules beside their sources
    python deploy/compile.py "$SITE_PACKAGES"     # an installation (the Dockerfile does this)
    python deploy/compile.py DIRECTORY MODULE...  # only these: services/shared/keys.py

Needs a C compiler, Python's headers, mypy and setuptools. The services run the same without it, at thrice the cost
per event: compiled and interpreted are one source.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mypyc.build import mypycify
from setuptools import Distribution

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"services": ROOT / "services", "puntual": ROOT / "protos" / "puntual"}
#: What runs for every event. Modules that define msgspec's structs stay interpreted: their classes are made by msgspec.
_NAMES = {
    "shared": ("clock", "contexts", "facts", "instant", "keys", "opener", "packing", "text", "wire"),
    "shared/engine": ("batch", "deadlines", "keeper", "store"),
    "promises": ("codec", "domain", "words"),
    "sla": ("codec", "domain", "runs", "standards", "verdicts"),
    "notifier": (
        "beliefs", "codec", "domain", "fallbacks", "journal", "pace", "relay", "rising", "routing", "sightings",
        "telling", "turns", "wording",
    ),
}  # fmt: skip
MODULES = tuple(f"services/{place}/{name}.py" for place, names in _NAMES.items() for name in names)


def main(target: Path, paths: Sequence[str]) -> None:
    """Copy what is missing, compile, and leave the extension modules beside their sources."""
    target.mkdir(parents=True, exist_ok=True)
    for name, source in PACKAGES.items():
        if not (target / name).exists():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    with TemporaryDirectory() as scratch:
        # Nothing but the packages: mypy refuses modules that stand beside them in an installation.
        for name in PACKAGES:
            shutil.copytree(target / name, Path(scratch, "sources", name))
        os.chdir(Path(scratch, "sources"))
        os.environ["MYPYPATH"] = "."
        options = ["--config-file=", "--ignore-missing-imports"]
        modules = mypycify([*options, *paths], opt_level="3", debug_level="0", group_name="puntual", target_dir=scratch)
        project = Distribution({"name": "puntual", "packages": [], "ext_modules": modules})
        command = project.get_command_obj("build_ext")
        command.build_temp, command.build_lib = scratch, str(target)
        command.ensure_finalized()
        command.run()
        os.chdir(target)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve(), sys.argv[2:] or MODULES)
