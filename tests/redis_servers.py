"""Real Redis servers for tests, alone or as a cluster, on free ports of loopback.

    with redis_server() as server:
        with RedisConnection(server.access()).commands() as client: ...

    with redis_server(password="secret", certificates=certificates(tmp_path)) as server:
        settings = load(folder, server.environ())

    with redis_cluster() as cluster:
        cluster.nodes[0].kill()

A server keeps its port and its data over `kill`, `stop` and `start`; `pause` and `go_on` make one
that doesn't answer. It is ended by its process id, and its folder removed, when the block ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis

from headrace_features.online.redis_access import RedisAccess
from headrace_schemas.redis_address import RedisAddress
from headrace_streaming.services.embedded import free_ports
from headrace_streaming.services.redis import program

HOST = "127.0.0.1"
_PATIENCE_S = 20.0
_POLL_S = 0.02


@dataclass(frozen=True)
class Certificates:
    """Files of an authority, and of a certificate of it for 127.0.0.1 that all sides use."""

    authority: Path
    certificate: Path
    key: Path

    @property
    def options(self) -> dict[str, str]:
        """What a client needs, as options of `[online.redis_options]`."""
        return {
            "ssl_ca_certs": str(self.authority),
            "ssl_certfile": str(self.certificate),
            "ssl_keyfile": str(self.key),
        }


def certificates(folder: Path, name: str = f"IP:{HOST}") -> Certificates:
    """Make an authority and a certificate for a name, such as `DNS:elsewhere.example`."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, made = folder / "ca.pem", folder / "server.pem"
    keys = {path: path.with_suffix(".key") for path in (authority, made)}
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    _openssl("req", "-x509", *new, "-subj", "/CN=authority", *_into(authority, keys))
    signed = ["-CA", str(authority), "-CAkey", str(keys[authority])]
    named = ["-subj", "/CN=server", "-addext", f"subjectAltName={name}"]
    plain = ["-addext", "basicConstraints=critical,CA:FALSE"]
    _openssl("req", "-x509", *new, *signed, *named, *plain, *_into(made, keys))
    return Certificates(authority, made, keys[made])


def _into(path: Path, keys: Mapping[Path, Path]) -> list[str]:
    return ["-out", str(path), "-keyout", str(keys[path])]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)  # noqa: S607 - as found


@dataclass
class RedisServer:
    """One server; `redis_server` starts and ends it."""

    folder: Path
    port: int
    password: str | None
    certificates: Certificates | None
    directives: Mapping[str, str | int]
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """What `[online] redis_url` has to be."""
        return str(self._address)

    @property
    def _address(self) -> RedisAddress:
        return RedisAddress(((HOST, self.port),), tls=self.certificates is not None)

    @property
    def options(self) -> dict[str, str]:
        """What `[online.redis_options]` have to be."""
        tls = self.certificates.options if self.certificates else {}
        return {**tls, **({"password": self.password} if self.password else {})}

    def environ(self) -> dict[str, str]:
        """The variables that make this server the online store of a project."""
        return _environ(self.url, self.options)

    def access(self, **changed: Any) -> RedisAccess:
        """How it is reached, or with other fields of `RedisAccess`."""
        return _access(self._address, self.options, changed)

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process is not None, "it doesn't run"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers with all its data."""
        with (self.folder / "log").open("ab") as log:
            command = [program(os.environ), *self._arguments()]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            said = (self.folder / "log").read_text(errors="replace")[-500:]
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """End it without warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order; one that doesn't run is left alone."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it be there and not answer, until `go_on`."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        os.kill(self.pid, signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A plain client that waits long, to look at it from outside; close it."""
        tls: dict[str, Any] = {}
        if self.certificates:
            tls = {"ssl": True, **self.certificates.options}
        return redis.Redis(host=HOST, port=self.port, password=self.password, **tls)

    def cli(self, *arguments: str) -> str:
        """What redis-cli says to a command."""
        options = ["-p", str(self.port)]
        if self.certificates:
            files = self.certificates
            options += ["--tls", "--cacert", str(files.authority)]
            options += ["--cert", str(files.certificate), "--key", str(files.key)]
        tool = shutil.which("redis-cli") or shutil.which("valkey-cli")
        assert tool, "neither redis-cli nor valkey-cli is on the PATH"
        environ = dict(os.environ)
        if self.password:
            environ["REDISCLI_AUTH"] = self.password
        done = subprocess.run(
            [tool, *options, *arguments], env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _arguments(self) -> list[str]:
        found: dict[str, str | int] = {"bind": HOST, "port": self.port, "save": ""}
        if self.certificates:
            files = self.certificates
            found |= {"port": 0, "tls-port": self.port, "tls-replication": "yes"}
            found |= {"tls-ca-cert-file": str(files.authority), "tls-key-file": str(files.key)}
            found |= {"tls-cert-file": str(files.certificate)}
        if self.password:
            found |= {"requirepass": self.password, "masterauth": self.password}
        return [
            part
            for name, value in (found | dict(self.directives)).items()
            for part in (f"--{name}", str(value))
        ]

    def _answers(self) -> bool:
        client = self.client()
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            # One that is paused hears of its end only when it goes on.
            process.send_signal(signal.SIGCONT)
            process.wait(_PATIENCE_S)


@contextmanager
def redis_server(
    password: str | None = None,
    certificates: Certificates | None = None,
    **directives: str | int,
) -> Iterator[RedisServer]:
    """A server that runs and answers.

    Args:
        password: what it asks for, if anything.
        certificates: makes it speak TLS alone, and ask clients for a certificate.
        **directives: more of its configuration, `_` for `-`: `appendonly="yes"`.
    """
    with _server(password, certificates, directives) as server:
        yield server


@contextmanager
def _server(
    password: str | None, files: Certificates | None, directives: Mapping[str, str | int]
) -> Iterator[RedisServer]:
    named = {name.replace("_", "-"): value for name, value in directives.items()}
    with tempfile.TemporaryDirectory(prefix="headrace-redis-") as folder:
        (port,) = free_ports(("client",), ()).values()
        server = RedisServer(Path(folder), port, password, files, named)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@dataclass(frozen=True)
class RedisCluster:
    """The servers of a cluster; `redis_cluster` starts and ends them."""

    nodes: tuple[RedisServer, ...]

    @property
    def url(self) -> str:
        """What `[online] redis_url` has to be."""
        return str(self._address)

    @property
    def _address(self) -> RedisAddress:
        tls = self.nodes[0].certificates is not None
        return RedisAddress(tuple((HOST, n.port) for n in self.nodes), tls=tls, cluster=True)

    def environ(self) -> dict[str, str]:
        """The variables that make this cluster the online store of a project."""
        return _environ(self.url, self.nodes[0].options)

    def access(self, **changed: Any) -> RedisAccess:
        """How it is reached, or with other fields of `RedisAccess`."""
        return _access(self._address, self.nodes[0].options, changed)

    def wait(self) -> None:
        """Wait until every node knows that the cluster has all of its parts."""
        deadline = time.monotonic() + _PATIENCE_S
        while not all("cluster_state:ok" in node.cli("cluster", "info") for node in self.nodes):
            assert time.monotonic() < deadline, "the cluster doesn't come up"
            time.sleep(_POLL_S)


@contextmanager
def redis_cluster(
    nodes: int = 3,
    replicas: int = 0,
    password: str | None = None,
    certificates: Certificates | None = None,
    **directives: str | int,
) -> Iterator[RedisCluster]:
    """A cluster that is complete.

    Args:
        nodes: how many servers, at least three of them without replicas.
        replicas: how many of them follow each other one.
        password: what they ask for, if anything.
        certificates: makes them speak TLS alone, among each other too.
        **directives: more of the configuration of each, `_` for `-`.
    """
    with ExitStack() as stack:
        servers = []
        for _ in range(nodes):
            # By itself it would be ten thousand above the other, where outgoing connections are.
            (bus,) = free_ports(("bus",), ()).values()
            own: dict[str, str | int] = {
                "cluster-enabled": "yes",
                "cluster-port": bus,
                "cluster-node-timeout": 2000,
                **({"tls-cluster": "yes"} if certificates else {}),
                **directives,
            }
            servers.append(stack.enter_context(_server(password, certificates, own)))
        cluster = RedisCluster(tuple(servers))
        places = [f"{HOST}:{server.port}" for server in servers]
        copies = ("--cluster-replicas", str(replicas), "--cluster-yes")
        servers[0].cli("--cluster", "create", *places, *copies)
        cluster.wait()
        yield cluster


def _environ(url: str, options: Mapping[str, str]) -> dict[str, str]:
    return {
        "HEADRACE_ONLINE_TYPE": "redis",
        "HEADRACE_ONLINE_REDIS_URL": url,
        **({"HEADRACE_ONLINE_REDIS_OPTIONS": json.dumps(options)} if options else {}),
    }


def _access(
    address: RedisAddress, options: Mapping[str, str], changed: Mapping[str, Any]
) -> RedisAccess:
    # On a machine with two cores and many tests half a second isn't much.
    usual = {"embedded": False, "options": options, "timeout": timedelta(seconds=5), "pool": 16}
    return RedisAccess(**{"address": address, **usual, **changed})
