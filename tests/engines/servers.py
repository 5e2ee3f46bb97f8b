"""Real servers for the tests: OpenSearch and Elasticsearch nodes, from the parts that Maven Central has.

What is missing on this machine is said, and the tests are skipped; with PIXIE_REQUIRE_ENGINES=1 they fail instead.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import warnings
import zipfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

__all__ = ["Node", "running_cluster", "running_node"]

HERE = Path(__file__).parent
FLAGS = {
    "opensearch": ["--add-modules", "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"],
    "elasticsearch": ["--add-modules", "jdk.incubator.vector"],
}
MAIN = {"opensearch": "Server", "elasticsearch": "org.elasticsearch.node.Server"}
JAVA = {"opensearch": range(21, 99), "elasticsearch": range(17, 24)}
"""Versions that each runs on."""
START_S = 120
MEMORY = "512m"


def missing(what):
    """Skip, or fail where engines are insisted on."""
    if os.environ.get("PIXIE_REQUIRE_ENGINES") == "1":
        pytest.fail(what)
    pytest.skip(what)


def java_of(engine):
    """The bin folder of a JDK that an engine runs on, looked for where systems keep them."""
    homes = [Path(os.environ[name]) for name in ("JAVA_HOME",) if os.environ.get(name)]
    if found := shutil.which("java"):
        homes.append(Path(found).resolve().parents[1])
    for folder in ("/usr/lib/jvm", "/opt", "/opt/homebrew/opt", "/Library/Java/JavaVirtualMachines"):
        homes += sorted(Path(folder).glob("*")) if Path(folder).is_dir() else []
    for home in homes:
        for binaries in (home / "bin", home / "Contents/Home/bin"):
            if not (binaries / "javac").exists():
                continue
            said = subprocess.run([binaries / "javac", "-version"], capture_output=True, text=True, check=False)
            version = re.search(r"javac (\d+)", said.stdout + said.stderr)
            if version and int(version[1]) in JAVA[engine]:
                return binaries
    versions = JAVA[engine]
    return missing(
        f"{engine} needs a JDK from {versions.start}"
        + (f" to {versions.stop - 1}" if versions.stop < 99 else " on")
        + ": install one, such as Debian's openjdk or Temurin, or point JAVA_HOME to it"
    )


def parts_of(engine):
    """The class path of an engine, put together once in its folder's ``target``."""
    target = HERE / engine / "target"
    newest = max(file.stat().st_mtime for file in (HERE / engine).iterdir() if file.is_file())
    if not target.exists() or target.stat().st_mtime < newest:
        put_together(engine, target)
    # Every archive by its name: one that Java cannot open in a pattern's folder is passed over in silence.
    return os.pathsep.join(map(str, [target / "classes", *sorted((target / "lib").glob("*.jar"))]))


def put_together(engine, target):
    """Fetch an engine's parts and compile its launcher; ``target`` appears whole or not at all."""
    if not (maven := shutil.which("mvn")):
        missing(f"{engine} is put together by Maven: install it (Debian's maven)")
    with tempfile.TemporaryDirectory(prefix="target-", dir=target.parent) as folder:
        new = Path(folder, "target")
        fetch = [maven, "-q", "-B", "-ntp", "dependency:copy-dependencies", "-DincludeScope=runtime"]
        fetched = subprocess.run(
            [*fetch, f"-DoutputDirectory={new / 'lib'}"],
            cwd=target.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        if fetched.returncode:
            missing(f"Maven could not fetch {engine}: {fetched.stdout[-2000:]}")
        for part in (new / "lib").glob("*.jar"):
            with zipfile.ZipFile(part) as archive:
                assert archive.testzip() is None, f"Maven fetched a damaged {part.name}: delete it in ~/.m2"
        subprocess.run(
            [java_of(engine) / "javac", "-cp", f"{new}/lib/*", "-d", new / "classes", target.parent / "Server.java"],
            check=True,
        )
        shutil.rmtree(target, ignore_errors=True)
        new.rename(target)
        target.touch()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@dataclass
class Node:
    """A running node.

    Attributes:
        engine: Which.
        port: Of HTTP, on 127.0.0.1.
        settings: Its own, as Elasticsearch names them.
        process: The server's.
        starts: How often it was started, to be counted until it answers.
    """

    engine: str
    port: int
    settings: dict = field(repr=False)
    log: Path = field(repr=False)
    process: subprocess.Popen = field(repr=False, default=None)
    starts: int = 0

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def url(self, name, **options):
        """The location of an index."""
        query = "&".join(f"{key}={value}" for key, value in options.items())
        return f"{self.engine}+http://{self.address}/{name}" + (f"?{query}" if query else "")

    def ask(self, path, method="GET", body=None, timeout=10):
        """A request, past every client."""
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.loads(answer.read() or b"null")

    def wait(self, n_nodes=1, status="yellow", timeout_s=START_S):
        """Until the cluster has so many nodes and at least this state."""
        wanted = {"red": {"red", "yellow", "green"}, "yellow": {"yellow", "green"}, "green": {"green"}}[status]
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if self.process.poll() is not None:
                self.once_more()
            with suppress(urllib.error.URLError, OSError):
                health = self.ask("/_cluster/health")
                if health["number_of_nodes"] >= n_nodes and health["status"] in wanted:
                    self.starts = 0
                    return health
            time.sleep(0.2)
        return pytest.fail(f"{self.engine} was not ready in {timeout_s} s: {self.said()}")

    def said(self):
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-3000:]

    def once_more(self):
        """A second start, with its parts put together anew, of a node that ended before it answered; no third."""
        if self.starts > 1:
            pytest.fail(f"{self.engine} ended: {self.said()}")
        warnings.warn(f"{self.engine} ended and is started once more: {self.said()}", stacklevel=2)
        put_together(self.engine, HERE / self.engine / "target")
        self.start_again()

    def start_again(self):
        """The same node, after its process ended."""
        self.starts += 1
        command = [java_of(self.engine) / "java", f"-Xmx{MEMORY}", *FLAGS[self.engine], "-cp", parts_of(self.engine)]
        command += [MAIN[self.engine], *(f"{key}={value}" for key, value in self.settings.items())]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def stop(self):
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)  # one that is stopped would not hear of it
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


def start(engine, folder, settings):
    for name in ("config", "data", "logs"):
        (folder / name).mkdir(parents=True)
    port = free_port()
    values = {
        "path.home": folder,
        "path.data": folder / "data",
        "path.logs": folder / "logs",
        "network.host": "127.0.0.1",
        "http.port": port,
        "http.type": "netty4",
        "transport.type": "netty4",
        # The tests need little room; how full the disk is otherwise is not theirs to judge.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
        **settings,
    }
    values.setdefault("transport.port", free_port())
    node = Node(engine, port, values, folder / "out.txt")
    node.start_again()
    return node


def new_folder():
    return tempfile.TemporaryDirectory(prefix="pixie-engine-", ignore_cleanup_errors=True)


@contextmanager
def running_node(engine, **settings):
    """One node of its own; settings are written with ``__`` for a dot."""
    with new_folder() as folder, ExitStack() as stack:
        given = {key.replace("__", "."): value for key, value in settings.items()}
        node = start(engine, Path(folder, "node"), {"discovery.type": "single-node", **given})
        stack.callback(node.stop)
        node.wait()
        yield node


@contextmanager
def running_cluster(engine, n_nodes=3):
    """Several nodes that know each other."""
    with new_folder() as folder, ExitStack() as stack:
        ports = [free_port() for _ in range(n_nodes)]
        names = [f"node-{number}" for number in range(n_nodes)]
        manager = "cluster_manager" if engine == "opensearch" else "master"
        nodes = []
        for name, port in zip(names, ports, strict=True):
            settings = {
                "node.name": name,
                "transport.port": port,
                "discovery.seed_hosts": ",".join(f"127.0.0.1:{other}" for other in ports),
                f"cluster.initial_{manager}_nodes": ",".join(names),
            }
            nodes.append(start(engine, Path(folder, name), settings))
            stack.callback(nodes[-1].stop)
        nodes[0].wait(n_nodes, "green")
        yield nodes
