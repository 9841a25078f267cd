from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from headrace_features.embedded import (
    STREAM_SERVICES,
    Book,
    Entry,
    Service,
    address_of,
    read_book,
    wanted_services,
)
from headrace_features.processes import Started, is_alive
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.settings import load
from headrace_streaming.services import broker, control, flink, redis
from headrace_streaming.services.control import last_words
from headrace_streaming.services.embedded import free_ports, is_free, locked, write_book
from headrace_streaming.services.processes import start, stop

STACK_TRACE = """2026-01-01 10:00:00,000 ERROR Could not start cluster entrypoint.
java.lang.Exception: Could not create actor system
\tat org.apache.flink.runtime.rpc.RpcUtils.createRemoteRpcService(RpcUtils.java:158)
Caused by: java.net.BindException: Could not start actor system on any port
\tat org.apache.flink.runtime.rpc.RpcUtils.createRemoteRpcService(RpcUtils.java:158)
\t... 2 more

"""


def running(home: Path) -> Started:
    """A process that stands for a service."""
    noted: list[Started] = []
    start(["sleep", "60"], log=home / "log", environment=os.environ, note=noted.append)
    return noted[0]


def test_what_is_written_in_the_book_is_read_again(tmp_path: Path) -> None:
    assert read_book(tmp_path) == Book()
    book = Book().with_entry(Service.KAFKA, Entry({"client": 1}, Started(7, "then")))
    write_book(tmp_path, book)
    assert read_book(tmp_path) == book
    assert [path.name for path in tmp_path.iterdir()] == ["services.json"]


def test_a_service_has_an_address_only_while_it_runs(tmp_path: Path) -> None:
    with pytest.raises(RetryableError, match="kafka does not run") as raised:
        address_of(tmp_path, Service.KAFKA)
    assert raised.value.hint == "run: headrace up"
    process = running(tmp_path)
    write_book(tmp_path, Book({Service.KAFKA: Entry({"client": 9}, process)}))
    assert address_of(tmp_path, Service.KAFKA) == "127.0.0.1:9"
    stop(process)
    with pytest.raises(RetryableError, match="kafka does not run"):
        address_of(tmp_path, Service.KAFKA)


def test_services_are_told_of_while_the_first_of_them_is_started(tmp_path: Path) -> None:
    process = running(tmp_path)
    ports = free_ports(("client", "controller"), ())
    write_book(tmp_path, Book({Service.KAFKA: Entry(ports, process)}))
    states = control.status(tmp_path)
    assert [one.state for one in states] == ["unhealthy", "stopped", "stopped"]
    assert [one.state for one in control.down(tmp_path)] == ["stopped"] * 3
    assert not is_alive(process)
    assert read_book(tmp_path).services[Service.KAFKA] == Entry(ports)


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"HEADRACE_ONLINE_TYPE": "redis"}, True),
        ({"HEADRACE_ONLINE_TYPE": "redis", "HEADRACE_ONLINE_REDIS_URL": "redis://a:1"}, False),
    ],
)
def test_redis_is_wanted_where_it_is_the_online_store_and_nobody_names_another(
    tmp_path: Path, environ: dict[str, str], *, wanted: bool
) -> None:
    services = wanted_services(load(tmp_path, environ))
    assert (Service.REDIS in services) is wanted
    assert {*STREAM_SERVICES, Service.WRITER} <= set(services)


def test_a_service_that_nobody_wants_is_shown_only_if_it_ever_ran(tmp_path: Path) -> None:
    assert [one.service for one in control.status(tmp_path)] == list(STREAM_SERVICES)
    wanted = control.status(tmp_path, (Service.REDIS, *STREAM_SERVICES, Service.WRITER))
    assert [one.service for one in wanted] == list(Service)
    ran = {service: Entry({}) for service in (Service.REDIS, Service.WRITER)}
    write_book(tmp_path, Book(ran))
    shown = {one.service: one.state for one in control.status(tmp_path)}
    assert shown == dict.fromkeys(Service, "stopped")


def test_a_process_that_has_the_number_of_a_service_is_left_alone(tmp_path: Path) -> None:
    process = running(tmp_path)
    entry = Entry({"client": 9}, Started(process.pid, "before the machine was restarted"))
    write_book(tmp_path, Book({Service.KAFKA: entry}))
    control.down(tmp_path)
    assert is_alive(process)
    stop(process)


def test_a_port_that_another_process_took_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        write_book(tmp_path, Book({Service.KAFKA: Entry({"client": port})}))
        with pytest.raises(RetryableError, match=f"port {port} on 127.0.0.1, the client port of"):
            control.up(tmp_path, os.environ)
    assert is_free(port)


def test_a_service_that_was_dying_when_it_was_found_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {service: running(tmp_path) for service in STREAM_SERVICES}
    book = Book({service: Entry({}, process) for service, process in found.items()})
    write_book(tmp_path, book)
    dying = found[Service.TASKMANAGER]

    def answer(service: Service, _: Book) -> bool:
        if service is Service.JOBMANAGER:
            stop(dying)  # all were found by then
        return True

    def started_anew(home: Path, service: Service, *_: object) -> None:
        entry = Entry({}, running(home))
        write_book(home, read_book(home).with_entry(service, entry))

    monkeypatch.setattr(control, "answers", answer)
    monkeypatch.setattr(control, "_start", started_anew)
    try:
        pids = [one.pid for one in control.up(tmp_path, os.environ)]
        assert pids[:2] == [found[Service.KAFKA].pid, found[Service.JOBMANAGER].pid]
        assert pids[2] not in (None, dying.pid)
    finally:
        control.down(tmp_path)


def test_a_service_that_ends_at_once_is_told_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["sh", "-c", "echo no room; exit 1"]
    monkeypatch.setattr(broker, "prepare", lambda *_: command)
    monkeypatch.setattr(flink, "jobmanager", lambda: ["sleep", "60"])
    monkeypatch.setattr(flink, "taskmanager", lambda _: ["sleep", "60"])
    try:
        with pytest.raises(ConfigurationError, match=r"kafka ended at once; .* with: no room"):
            control.up(tmp_path, os.environ)
    finally:
        control.down(tmp_path)


def test_the_log_of_the_last_run_is_kept_and_no_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in ("first", "second", "third"):
        monkeypatch.setattr(broker, "prepare", lambda *_, run=run: ["echo", run])
        control._start(tmp_path, Service.KAFKA, os.environ, {})
        while control._runs(tmp_path, Service.KAFKA):
            pass
    logs = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert logs == {"kafka.log": "third\n", "kafka.log.1": "second\n"}


def test_the_broker_takes_options_of_java_by_the_names_of_its_own_scripts(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()

    def options(environ: dict[str, str]) -> list[str]:
        command = broker.prepare(tmp_path, {"client": 1, "controller": 2}, environ)
        return [one for one in command[1:] if one.startswith("-X")]

    assert options({}) == ["-Xmx512m"]
    named = {
        "KAFKA_HEAP_OPTS": "-Xms1g -Xmx2g",
        "KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseSerialGC",
    }
    assert options(named) == ["-Xms1g", "-Xmx2g", "-XX:+UseSerialGC"]


def test_nobody_else_reads_the_options_of_flink(tmp_path: Path) -> None:
    written = tmp_path / "conf" / "config.yaml"
    written.parent.mkdir()
    written.write_text("by an earlier version")
    ports = {"client": 1, "rpc": 2, "blob": 3}
    flink.prepare(tmp_path, ports, {"s3.secret-key": "secret"})
    assert 's3.secret-key: "secret"' in written.read_text()
    assert written.stat().st_mode & 0o777 == 0o600


def program(folder: Path, name: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.touch(0o755)
    return str(path)


def test_valkey_stands_in_for_redis_where_only_that_is_installed(tmp_path: Path) -> None:
    valkey = program(tmp_path / "valkey", "valkey-server")
    preferred = program(tmp_path / "redis", "redis-server")
    path = f"{tmp_path / 'valkey'}{os.pathsep}{tmp_path / 'redis'}"
    assert redis.program({"PATH": str(tmp_path / "valkey")}) == valkey
    assert redis.program({"PATH": path}) == preferred


def test_without_redis_nothing_is_started_and_the_command_that_installs_it_is_named(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match="neither redis-server nor valkey-s") as raised:
        control.up(tmp_path, {"PATH": str(tmp_path)}, wanted=(Service.REDIS, *STREAM_SERVICES))
    assert "install" in str(raised.value.hint)
    assert read_book(tmp_path) == Book()


def test_redis_finds_its_folder_whatever_it_is_called(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" \\ c'
    server = program(tmp_path / "bin", "redis-server")
    command = redis.prepare(folder, {"client": 9}, {"PATH": str(tmp_path / "bin")})
    assert command == [server, str(folder / "redis.conf")]
    written = (folder / "redis.conf").read_text()
    assert f'dir "{tmp_path}/a \\"b\\" \\\\ c"\n' in written


def test_ports_are_different_and_none_of_those_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = iter([5, 7, 7, 5, 8])
    monkeypatch.setattr("headrace_streaming.services.embedded._free_port", lambda: next(offered))
    assert free_ports(("client", "rpc"), {5}) == {"client": 7, "rpc": 8}


def test_no_outgoing_connection_is_given_the_port_of_a_service() -> None:
    ports = free_ports(map(str, range(50)), ()).values()
    assert len(set(ports)) == 50
    # Linux gives them from 32768 on, macOS from 49152.
    assert all(1024 < port < 32_768 for port in ports)


def test_two_commands_do_not_start_services_at_once(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(RetryableError, match="another command starts or stops"):
        control.up(tmp_path, os.environ)


def test_of_a_log_that_line_is_shown_which_tells_something() -> None:
    cause = "Caused by: java.net.BindException: Could not start actor system on any port"
    assert last_words(STACK_TRACE) == cause
    assert last_words("one\n  two\n\n") == "two"
    assert last_words("") == "nothing"


def test_a_home_without_a_cluster_deploys_with_the_configuration_that_is_there(
    tmp_path: Path,
) -> None:
    def conf(**environ: str) -> str:
        return flink.environment(tmp_path, environ)["FLINK_CONF_DIR"]

    assert (Path(conf()) / "config.yaml").is_file()
    assert conf(FLINK_CONF_DIR="/etc/flink") == "/etc/flink"
    flink.prepare(tmp_path, {"client": 1, "rpc": 2, "blob": 3}, {})
    assert conf(FLINK_CONF_DIR="/etc/flink") == str(tmp_path / "conf")
