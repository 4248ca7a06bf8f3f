"""Child processes, and the backend that all proxies have."""

import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time

from . import tools

# Where nginx' forward-auth questions go.
QUESTION = "/auth/nginx"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A child process on one core (or several, `0,1`), ended by its own id."""

    name = ""
    # Which of the paths it can serve.
    can = ("open",)
    # Whether it remembers tokens that it has verified.
    remembers = False
    # Whether it speaks HTTP/2 to clients.
    http2 = True
    # Seconds it may take until it listens.
    starting = 20

    def __init__(self, material, core):
        self.material = material
        self.core = core
        self.port = free_port()
        # Several of a kind may run, each in a folder of its own.
        self.folder = material.folder / f"{self.name}-{self.port}"
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        self.process = None

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def command(self):
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def start(self):
        command = [tools.find("taskset"), "-c", str(self.core), *self.command()]
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=self.environment()
            )
        deadline = time.monotonic() + self.starting
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                if self.settled():
                    return
                time.sleep(0.05)
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log = (self.folder / "log").read_text(errors="replace")
                    tools.fail(f"{self.name} does not start:\n{log}")
                time.sleep(0.05)

    def settled(self):
        """Whether it does its work, for those that listen before they do."""
        return True

    def environment(self):
        keep = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
        keep.pop("DATABASE_URL", None)
        keep.pop("PORT", None)
        return keep

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def alone(self):
        """A proxy like this one, that no request has reached yet."""
        return type(self)(self.material, self.core, self.backend)

    def pids(self):
        """The process and all below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += [int(child) for child in task.read_text().split()]
        return found

    def tls(self):
        context = ssl.create_default_context(cafile=self.material.path("tls.crt"))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


class Backend(Server):
    """nginx that answers from memory, 1 KiB and 64 KiB, and tells at `…/seen` what the proxy made of a request."""

    name = "backend"

    def command(self):
        line = "0123456789abcdef" * 64
        configuration = f"""
worker_processes 1;
daemon off;
error_log stderr warn;
pid {self.folder}/pid;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
    default_type text/plain;
    server {{
        listen 127.0.0.1:{self.port} backlog=2048;
        set $k1 "{line}";
        set $k8 "$k1$k1$k1$k1$k1$k1$k1$k1";
        location ~ /1k$ {{ return 200 $k1; }}
        location ~ /64k$ {{ return 200 "$k8$k8$k8$k8$k8$k8$k8$k8"; }}
        location ~ /seen$ {{ return 200 "user=$http_x_user;"; }}
    }}
}}
"""
        return [tools.find("nginx"), "-p", str(self.folder), "-e", "stderr", "-c", self.write("nginx.conf", configuration)]

    def version(self):
        return tools.version([tools.find("nginx"), "-v"])
