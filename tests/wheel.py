"""Build the wheel, install it in a new environment, and serve from there, outside of the source tree."""

import signal
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
BIN = ROOT / ".venv/bin"
TIMEOUT_S = 120
# Runs in the new environment: all imports must come from it, and the migrations must be included.
CHECK_IMPORTS = """
import sys
from importlib import import_module
from infrastructure.postgres.migrations import migrations
assert list(migrations()), "the migrations are missing"
for name in ("domain", "application", "infrastructure", "interfaces"):
    assert import_module(name).__file__.startswith(sys.prefix), f"{name} does not come from the wheel"
"""


def main() -> None:
    """Run each step; exit with an error at the first failure."""
    with TemporaryDirectory() as scratch, TemporaryDirectory() as data:
        place = Path(scratch, "venv")
        install(scratch, place)
        for command in (["python", "-c", CHECK_IMPORTS], ["perezvon", "--help"]):
            program = place / "bin" / command[0]
            subprocess.run([program, *command[1:]], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        serve(place, data)


def install(scratch: str, place: Path) -> None:
    """Build the wheel and install it without dependencies; it uses those of .venv."""
    subprocess.run([BIN / "python", "-m", "venv", "--without-pip", place], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    # A path file adds a folder, but not the folders that path files inside it name, such as the editable perezvon.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    offline = ["--quiet", "--offline", "--no-cache"]
    build = ["build", "--wheel", "--no-build-isolation", "--python", BIN / "python", "--out-dir", scratch]
    subprocess.run([BIN / "uv", *build, *offline, ROOT], check=True)
    wheel = next(Path(scratch).glob("*.whl"))
    subprocess.run([BIN / "uv", "pip", "install", "--no-deps", "--python", place, *offline, wheel], check=True)


def serve(place: Path, data: str) -> None:
    """Run ``perezvon up`` until it prints that it is ready."""
    log = Path(data, "wheel.log")
    command = [place / "bin/perezvon", "up", "--data-dir", data, "--port", "0"]
    pipe = subprocess.PIPE
    with log.open("w") as errors, subprocess.Popen(command, cwd=data, stdout=pipe, stderr=errors, text=True) as up:
        alarm = threading.Timer(TIMEOUT_S, up.terminate)
        alarm.start()
        assert up.stdout
        line = up.stdout.readline()
        up.send_signal(signal.SIGINT)
        up.communicate()
        alarm.cancel()
    if not line.startswith("ready http://") or up.returncode:
        sys.exit(f"perezvon up ended with {up.returncode}, printed {line!r} and logged:\n{log.read_text()}")
    print(f"   {line.strip()}")


if __name__ == "__main__":
    main()
