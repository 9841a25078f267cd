"""`headrace serve`, a real server process, as a client of it would see it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import jwt
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from headrace_batch.materialize import materialize_view
from headrace_features.feast_plugin import repository
from headrace_features.feast_plugin.server.probes import Readiness
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_features.project import load_project
from headrace_schemas.settings import Settings
from headrace_streaming.services.embedded import free_ports
from histories import bits
from lakes import settings_in, unwatched, write_simulated
from live_run import until
from redis_servers import RedisServer, certificates, redis_server
from servers import Server, headrace_serve, headrace_server

LAST_DAY = date(2018, 5, 10)
READ = "/get-online-features"
KEYS = ("first-key-0123456789abcdef", "second-key-fedcba9876543210")
ISSUED_FOR = "features"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[dict[str, Any]]]:
    """Registered and materialized views, and the transactions of the last day."""
    settings = settings_in(tmp_path_factory.mktemp("home"))
    rows = write_simulated(settings)["transactions"]
    repository.apply(settings, load_project(settings))
    for view in (card_activity, terminal_risk):
        materialize_view(settings, view, LAST_DAY, unwatched)
    day_ms = round(datetime(2018, 5, 10, tzinfo=UTC).timestamp() * 1000)
    return settings, [row for row in rows if 0 <= row["event_time"] - day_ms < 86_400_000]


@pytest.fixture(scope="module")
def server(lake: tuple[Settings, list[dict[str, Any]]]) -> Iterator[Server]:
    with headrace_server(lake[0].home) as server:
        yield server


def asked(rows: list[dict[str, Any]], **more: list[Any]) -> dict[str, Any]:
    """A request for the service, as of each transaction."""
    entities = {
        "card_id": [row["card_id"] for row in rows],
        "terminal_id": [row["terminal_id"] for row in rows],
        "as_of": [row["event_time"] for row in rows],
        "current_event": [row["transaction_id"] for row in rows],
        **more,
    }
    return {"entities": entities, "feature_service": "fraud", "full_feature_names": True}


def one(**more: Any) -> dict[str, Any]:
    """A request for one feature of one card."""
    return {"features": ["card_activity:count_1d"], "entities": {"card_id": ["nobody"], **more}}


def in_bits(answer: Mapping[str, list[Any]]) -> dict[str, list[object]]:
    return {name: [bits(value) for value in values] for name, values in answer.items()}


def by_sdk(settings: Settings, entities: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    store = repository.feature_store(settings)
    return store.get_online_features(
        features=store.get_feature_service("fraud"),
        entity_rows={name: list(values) for name, values in entities.items()},
        full_feature_names=True,
    ).to_dict()


def eventually(server: Server, status: int) -> None:
    """Wait until the server says of itself what is expected; workers may not listen yet."""
    deadline = time.monotonic() + 30
    found: int | None = None
    while found != status:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
        with suppress(ConnectionError):
            found = server.ask("/ready").status


def test_values_are_those_of_the_sdk_with_all_reserved_keys(
    lake: tuple[Settings, list[dict[str, Any]]], server: Server
) -> None:
    settings, rows = lake
    body = asked(rows[:20], freshness=[True] * 20)
    found = server.ask(READ, body).columns
    wanted = by_sdk(settings, body["entities"])
    fresh = "card_activity__freshness"
    assert in_bits(found) == in_bits(wanted)
    assert json.loads(found[fresh][0]) == json.loads(wanted[fresh][0])
    assert len(set(found["card_activity__count_30d"])) > 5


def test_many_clients_at_once_get_the_values_that_each_gets_alone(
    lake: tuple[Settings, list[dict[str, Any]]], server: Server
) -> None:
    requests = [asked(lake[1][start : start + 3]) for start in range(0, 60, 3)]
    alone = [in_bits(server.ask(READ, request).columns) for request in requests]
    with ThreadPoolExecutor(8) as clients:
        together = clients.map(lambda r: in_bits(server.ask(READ, r).columns), requests * 3)
        assert list(together) == alone * 3


def test_probes_tell_that_it_lives_and_can_answer(server: Server) -> None:
    assert server.ask("/health").status == 200
    assert server.ask("/ready").status == 200
    assert server.ask("/ready", "{}").status == 405


def test_it_is_ready_while_requests_hold_all_threads_that_they_have(
    lake: tuple[Settings, list[dict[str, Any]]],
) -> None:
    async def problem() -> str | None:
        release = Event()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        held = asyncio.create_task(asyncio.to_thread(release.wait))
        await asyncio.sleep(0)
        try:
            return await Readiness(lake[0]).problem()
        finally:
            release.set()
            await held

    assert asyncio.run(problem()) is None


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        (READ, {**one(), "features": ["card_activity:count_1x"]}, 404, "mean 'count_1"),
        (READ, {**one(), "features": ["nothing:count"]}, 404, "nothing does not exist"),
        (READ, {**one(), "features": ["count_1d"]}, 422, "view:feature"),
        (READ, {**one(), "features": []}, 422, "feature_service: fraud"),
        (READ, {"feature_service": "none", "entities": {}}, 404, "none does not exist"),
        (READ, {**one(), "entities": {}}, 422, "give at least one row"),
        (READ, {**one(), "entities": {"card_id": [None]}}, 422, "leave such rows out"),
        (READ, {**one(), "entities": {"card_id": [["c1"]]}}, 422, "leave such rows out"),
        (READ, {**one(), "entities": {"terminal_id": ["t"]}}, 422, "no card_id"),
        (READ, one(other=["a", "b"]), 422, "different lengths: card_id 1, other 2"),
        (READ, one(as_of=["soon"]), 422, "is no time"),
        (READ, one(as_of=["2018-01-01"]), 422, "features history"),
        (READ, "no json", 422, "at character 0 it is no JSON"),
        (READ, {**one(), "features": ["transaction_context:km_since_last"]}, 422, "latitude"),
        (READ, {**one(), "features": ["card_activity:count_1d"] * 2}, 422, "count_1d"),
        (READ, {"feature_service": "fraud"}, 422, "entities: Field required"),
        (READ, {**one(), "entities": None}, 422, "$.entities"),
        (READ, {**one(), "entities": {"card_id": {"0": "a"}}}, 422, "card_id"),
        (READ, {**one(), "features": ["card_activity:count_1d", 5]}, 422, "$.features[1]"),
        (READ, {**one(), "features": None}, 422, "$.features"),
        (READ, {**one(), "feature_service": 5}, 422, "$.feature_service"),
        (READ, {**one(), "features": ["\ud800"]}, 422, "view:feature"),
        (READ, {**one(), "features": ["card_activity:\ud800"]}, 404, "\\ud800"),
        (READ, [], 422, "not as expected"),
        (READ, f'{{"entities": {{"card_id": {"[" * 100_000}', 422, "nested"),
        ("/push", {"push_source_name": "transactions_push", "df": None}, 422, "$.df"),
        ("/push", {"push_source_name": "transactions_push", "df": {}, "to": 5}, 422, "$.to"),
        ("/write-to-online-store", {"feature_view_name": "card_activity", "df": []}, 422, "$.df"),
        ("/push", {"push_source_name": "none", "df": {"a": [1]}}, 422, "'none'"),
        ("/push", {"push_source_name": "transactions_push", "df": {"a": 1}}, 422, "no list"),
        ("/push", {"push_source_name": "transactions_push", "df": {"a": [1]}}, 422, "no column"),
        (
            "/push",
            {"push_source_name": "transactions_push", "df": {"a": [1]}, "to": "offline"},
            422,
            "headrace ingest --from-kafka",
        ),
        (
            "/push",
            {"push_source_name": "transactions_push", "df": {"a": [1]}, "to": "there"},
            422,
            "online_and_offline",
        ),
        (
            "/write-to-online-store",
            {"feature_view_name": "card_activity", "df": {"a": [1]}},
            422,
            "no column",
        ),
        ("/search", {"features": ["card_activity:count_1d"], "query": [0.1]}, 422, "no vectors"),
        ("/chat", None, 404, "no /chat"),
        ("/elsewhere", None, 404, "Not Found"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_a_status_of_its_kind(
    server: Server, path: str, body: Any, status: int, told: str
) -> None:
    answer = server.ask(path, body)
    assert told in answer.detail
    assert answer.status == status


def test_a_push_without_a_broker_may_be_repeated_later(server: Server) -> None:
    now_ms = time.time_ns() // 1_000_000
    event = {"transaction_id": "t", "card_id": "c", "terminal_id": "t", "amount_minor": 1}
    events = {name: [value] for name, value in {**event, "event_time": now_ms}.items()}
    answer = server.ask("/push", {"push_source_name": "transactions_push", "df": events})
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "headrace up" in answer.detail


@pytest.mark.parametrize("path", ["/materialize", "/materialize-incremental?async=true"])
def test_no_request_materializes_our_views_or_marks_them_in_the_registry(
    lake: tuple[Settings, list[dict[str, Any]]], server: Server, path: str
) -> None:
    before = lake[0].feast.registry.read_bytes()
    times = {"start_ts": "2018-05-01", "end_ts": "2018-05-02"}
    named = server.ask(path, {**times, "feature_views": ["card_activity"]})
    assert (named.status, "headrace materialize --view card_activity" in named.detail) == (
        422,
        True,
    )
    # Python's module takes this for JSON, and so does Feast.
    beside = f'{{"other": NaN, "feature_views": ["card_activity"], {json.dumps(times)[1:]}'
    also = server.ask(path, beside)
    assert (also.status, "headrace materialize" in also.detail) == (422, True)
    assert server.ask(path, {**times, "feature_views": ["card_activity", 5]}).status == 422
    everything = server.ask(path, times)
    assert (everything.status, "headrace materialize" in everything.detail) == (422, True)
    assert lake[0].feast.registry.read_bytes() == before
    assert server.ask(READ, one()).status == 200


@pytest.fixture(scope="module")
def guarded(lake: tuple[Settings, list[dict[str, Any]]]) -> Iterator[Server]:
    """A server with small limits that asks for one of two keys."""
    keys = lake[0].home / "keys"
    keys.write_text(f"# of the old client\n\n{KEYS[0]}\n", encoding="utf-8")
    with headrace_server(
        lake[0].home,
        "--access-log",
        HEADRACE_SERVING_AUTH="keys",
        HEADRACE_SERVING_KEYS_FILE=str(keys),
        HEADRACE_SERVING_KEYS=json.dumps({"new client": KEYS[1]}),
        HEADRACE_SERVING_MAX_KIB="2",
        HEADRACE_SERVING_MAX_ROWS="3",
        HEADRACE_SERVING_MAX_FEATURES="2",
    ) as server:
        yield server


def test_nobody_is_answered_without_a_key(guarded: Server) -> None:
    for headers in (
        {},
        {"X-API-Key": ""},
        {"X-API-Key": KEYS[0][:-1]},
        {"Authorization": f"Basic {KEYS[0]}"},
        {"Authorization": "Bearer else"},
    ):
        for path, body in ((READ, one()), ("/openapi.json", None), ("/elsewhere", None)):
            answer = guarded.ask(path, body, headers)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "X-API-Key" in answer.detail


def test_each_key_is_good_in_either_header_and_stays_out_of_the_log(guarded: Server) -> None:
    for key in KEYS:
        assert guarded.ask(READ, one(), {"X-API-Key": key}).status == 200
        assert guarded.ask(READ, one(), {"Authorization": f"bearer {key}"}).status == 200
    # Who watches it has none.
    assert guarded.ask("/health").status == 200
    assert guarded.ask("/ready").status == 200
    log = guarded.log.read_text()
    assert READ in log
    assert not any(key in log for key in KEYS)


def test_too_much_at_once_is_refused_with_what_would_be_taken(guarded: Server) -> None:
    key = {"X-API-Key": KEYS[0]}
    assert guarded.ask(READ, {**one(), "entities": {"card_id": list("abc")}}, key).status == 200
    rows = guarded.ask(READ, {**one(), "entities": {"card_id": list("abcd")}}, key)
    assert (rows.status, "4 rows, more than 3" in rows.detail) == (413, True)
    pushed = guarded.ask("/push", {"push_source_name": "a", "df": {"a": [1, 2, 3, 4]}}, key)
    assert pushed.status == 413
    features = [f"card_activity:count_{window}" for window in ("1h", "1d", "7d")]
    named = guarded.ask(READ, {**one(), "features": features}, key)
    assert (named.status, "3 features are asked for, more than 2" in named.detail) == (413, True)
    for size in (2_500, 20_000, 200_000):
        large = guarded.ask(READ, one(other=["x" * size]), key)
        assert (large.status, "larger than 2 KiB" in large.detail) == (413, True)
    assert guarded.ask(READ, one(), key).status == 200


#: What Feast's models don't look at, in shapes that other fields of these names must not have.
BESIDE: tuple[dict[str, Any], ...] = (
    {"df": None},
    {"df": 5},
    {"to": 5},
    {"to": "there"},
    {"other": [{}]},
)
#: The same in ways that JSON proper doesn't have, but Python's module takes.
BESIDE_RAW = ("NaN", "-Infinity", "1e999", r'"\ud800"', "1" + "0" * 400, "[" * 800 + "]" * 800)


def bodies_beside(body: Mapping[str, Any]) -> Iterator[str | bytes]:
    """A request with more beside it that Feast passes over, and in encodings that Feast takes."""
    for more in BESIDE:
        yield json.dumps({**more, **body})
    text = json.dumps(body)
    for value in BESIDE_RAW:
        yield f'{{"other": {value}, {text[1:]}'
    # Of a field that comes twice the last one counts.
    yield f'{{"entities": null, "features": 5, {text[1:]}'
    yield text.encode("utf-16")
    yield text.encode("utf-8-sig")


def test_what_stands_beside_the_fields_of_a_request_changes_nothing(guarded: Server) -> None:
    key = {"X-API-Key": KEYS[0]}
    three = [f"card_activity:count_{window}" for window in ("1h", "1d", "7d")]
    judged: tuple[tuple[dict[str, Any], int, str], ...] = (
        ({**one(), "entities": {"card_id": list("abcd")}}, 413, "4 rows, more than 3"),
        ({**one(), "features": three}, 413, "3 features are asked for, more than 2"),
        ({**one(), "features": ["card_activity:count_1x"]}, 404, "mean 'count_1"),
        (one(other=["a", "b"]), 422, "different lengths"),
    )
    for body in bodies_beside(one()):
        assert guarded.ask(READ, body, key).status == 200, body
    for request, status, told in judged:
        for body in bodies_beside(request):
            answer = guarded.ask(READ, body, key)
            assert (answer.status, told in answer.detail) == (status, True), body


def test_rows_that_are_pushed_are_counted_whatever_stands_beside_them(guarded: Server) -> None:
    key = {"X-API-Key": KEYS[0]}
    # By the name of their row: each column is short, and together they have many.
    for df in ({"a": [1, 2, 3, 4]}, {"a": {"0": 1, "1": 1}, "b": {"2": 1, "3": 1}}):
        for path in ("/push", "/write-to-online-store"):
            named = {"push_source_name": "a", "feature_view_name": "a", "df": df}
            for name in ("entities", "features", "feature_service"):
                answer = guarded.ask(path, {**named, name: 5}, key)
                assert (answer.status, "4 rows, more than 3" in answer.detail) == (413, True), name


@contextmanager
def issuer() -> Iterator[tuple[str, rsa.RSAPrivateKey]]:
    """An issuer of tokens that can be asked for its keys, and the key that it signs with."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            base = f"http://{self.headers['Host']}"
            found = {
                "/discovery": {
                    "issuer": base,
                    "jwks_uri": f"{base}/keys",
                    "token_endpoint": f"{base}/token",
                    "authorization_endpoint": f"{base}/authorize",
                },
                "/keys": {"keys": [{**public, "kid": "only", "use": "sig", "alg": "RS256"}]},
            }[self.path]
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", key
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_tokens_of_an_issuer_are_asked_for_and_checked(
    lake: tuple[Settings, list[dict[str, Any]]],
) -> None:
    with issuer() as (url, key):
        oidc = {"auth_discovery_url": f"{url}/discovery", "audience": ISSUED_FOR, "issuer": url}

        def token(signed_with: rsa.RSAPrivateKey = key, **changed: Any) -> dict[str, str]:
            until = datetime.now(UTC) + timedelta(minutes=5)
            claims = {"sub": "model", "aud": ISSUED_FOR, "iss": url, "exp": until, **changed}
            made = jwt.encode(claims, signed_with, "RS256", {"kid": "only"})
            return {"Authorization": f"Bearer {made}"}

        other = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        past = datetime.now(UTC) - timedelta(minutes=1)
        with headrace_server(
            lake[0].home,
            HEADRACE_SERVING_AUTH="oidc",
            HEADRACE_SERVING_OIDC=json.dumps(oidc),
        ) as server:
            assert server.ask(READ, one(), token()).status == 200
            assert server.ask("/ready").status == 200
            for headers in (
                {},
                {"Authorization": "Bearer nonsense"},
                token(other),
                token(aud="others"),
                token(iss="http://else"),
                token(exp=past),
            ):
                answer = server.ask(READ, one(), headers)
                assert answer.status == 401, headers
                assert "token" in answer.detail


def test_tls_is_spoken_to_clients_with_a_certificate_where_one_is_wanted(
    lake: tuple[Settings, list[dict[str, Any]]], tmp_path: Path
) -> None:
    files = certificates(tmp_path)
    tls = {
        "certfile": str(files.certificate),
        "keyfile": str(files.key),
        "ca_certs": str(files.authority),
    }
    client = ssl.create_default_context(cafile=str(files.authority))
    with headrace_server(lake[0].home, HEADRACE_SERVING_TLS=json.dumps(tls)) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            server.ask("/ready", tls=client)
        client.load_cert_chain(files.certificate, files.key)
        assert server.ask(READ, one(), tls=client).status == 200
        with pytest.raises(ConnectionError):
            server.ask("/ready")
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            server.ask("/ready", tls=ssl.create_default_context())


@pytest.fixture(scope="module")
def redis(lake: tuple[Settings, list[dict[str, Any]]]) -> Iterator[tuple[Settings, RedisServer]]:
    """The same views in Redis, which keeps what it has when it is stopped."""
    with redis_server(appendonly="yes", appendfsync="always") as redis:
        settings = settings_in(lake[0].home, **redis.environ())
        for view in (card_activity, terminal_risk):
            materialize_view(settings, view, LAST_DAY, unwatched)
        yield settings, redis


@contextmanager
def on_redis(redis: tuple[Settings, RedisServer], **environ: str) -> Iterator[Server]:
    with headrace_server(redis[0].home, **redis[1].environ(), **environ) as server:
        yield server


def test_redis_may_go_away_and_come_back(
    lake: tuple[Settings, list[dict[str, Any]]], redis: tuple[Settings, RedisServer]
) -> None:
    body = asked(lake[1][:10])
    with on_redis(redis) as server:
        wanted = in_bits(server.ask(READ, body).columns)
        assert wanted == in_bits(by_sdk(lake[0], body["entities"]))
        redis[1].kill()
        for answer in (server.ask(READ, body), server.ask("/ready")):
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert "does not answer" in answer.detail
        assert server.ask("/health").status == 200
        redis[1].start()
        eventually(server, 200)
        assert in_bits(server.ask(READ, body).columns) == wanted
        redis[1].pause()
        try:
            assert "did not answer within 500 ms" in server.ask(READ, body).detail
            assert server.ask("/ready").status == 503
        finally:
            redis[1].go_on()
        eventually(server, 200)
        assert in_bits(server.ask(READ, body).columns) == wanted


def test_what_takes_too_long_and_what_is_too_much_at_once_is_turned_away(
    redis: tuple[Settings, RedisServer],
) -> None:
    limits = {"HEADRACE_SERVING_TIMEOUT": "1s", "HEADRACE_SERVING_CONCURRENCY": "2"}
    with on_redis(redis, HEADRACE_ONLINE_TIMEOUT="20s", **limits) as server:
        assert server.ask(READ, one()).status == 200
        redis[1].pause()
        try:
            with ThreadPoolExecutor(8) as clients:
                started = time.monotonic()
                answers = list(clients.map(lambda _: server.ask(READ, one()), range(8)))
                took = time.monotonic() - started
            late = [answer for answer in answers if answer.status == 504]
            turned_away = [answer for answer in answers if answer.status == 503]
            assert (len(late), len(turned_away)) == (2, 6)
            assert took < 4
            assert "within 1 s" in late[0].detail
            assert "2 requests are at work" in turned_away[0].detail
            assert turned_away[0].headers["retry-after"] == "1"
            assert server.ask("/health").status == 200
            ready = server.ask("/ready")
            assert (ready.status, "within 1 s" in ready.detail) == (503, True)
        finally:
            redis[1].go_on()
        eventually(server, 200)
        deadline = time.monotonic() + 10
        while server.ask(READ, one()).status != 200:
            assert time.monotonic() < deadline
        with ThreadPoolExecutor(2) as clients:
            answers = list(clients.map(lambda _: server.ask(READ, one()), range(20)))
        assert {answer.status for answer in answers} == {200}


def test_pushes_to_a_broker_that_is_away_leave_room_for_reads(
    lake: tuple[Settings, list[dict[str, Any]]],
) -> None:
    columns = ("transaction_id", "card_id", "terminal_id", "amount_minor", "event_time")
    pushed = {name: [lake[1][0][name]] for name in columns}
    body = {"push_source_name": "transactions_push", "df": pushed}
    limits = {"HEADRACE_SERVING_TIMEOUT": "2s", "HEADRACE_SERVING_CONCURRENCY": "8"}
    away = {"HEADRACE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    with (
        headrace_server(lake[0].home, **away, **limits) as server,
        ThreadPoolExecutor(7) as clients,
    ):
        pushes = [clients.submit(server.ask, "/push", body) for _ in range(7)]
        reads = [server.ask(READ, one()).status for _ in range(5)]
        answers = [push.result() for push in pushes]
        assert reads == [200] * 5
        assert sorted(answer.status for answer in answers) == [503] * 5 + [504] * 2
        assert any("2 pushes are at work" in a.detail for a in answers if a.status == 503)


def test_on_sigterm_what_is_at_work_is_answered_before_it_ends(
    redis: tuple[Settings, RedisServer],
) -> None:
    with (
        on_redis(redis, HEADRACE_ONLINE_TIMEOUT="20s", HEADRACE_SERVING_TIMEOUT="20s") as server,
        ThreadPoolExecutor(1) as clients,
    ):
        assert server.ask(READ, one()).status == 200
        redis[1].pause()
        try:
            asking = clients.submit(server.ask, READ, one())
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            assert not asking.done()
        finally:
            redis[1].go_on()
        assert asking.result().status == 200
        assert server.process.wait(20) == 0
        assert "Traceback" not in server.log.read_text()


def test_of_several_workers_one_that_dies_is_replaced_and_all_end_together(
    lake: tuple[Settings, list[dict[str, Any]]],
) -> None:
    with headrace_server(lake[0].home, "--workers", "2") as server:
        eventually(server, 200)
        parent = psutil.Process(server.process.pid)

        def workers() -> list[int]:
            found = []
            for child in parent.children():
                with suppress(psutil.NoSuchProcess):
                    if "spawn_main" in str(child.cmdline()):
                        found.append(child.pid)
            return found

        before = workers()
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        # Each worker imports Feast, which takes seconds.
        deadline = time.monotonic() + 120
        while len(workers()) < 2 or before[0] in workers():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert server.ask(READ, one()).status == 200
        # Whoever turns keys over asks for this.
        before = workers()
        server.process.send_signal(signal.SIGHUP)
        while len(workers()) != 2 or set(before) & set(workers()):
            assert time.monotonic() < deadline + 120
            time.sleep(0.2)
            # A connection that hasn't asked anything when its worker ends is closed.
            with suppress(ConnectionError):
                assert server.ask(READ, one()).status == 200
        after = workers()
        assert server.end() == 0
        assert not any(psutil.pid_exists(pid) for pid in after)


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        (("--host", "0.0.0.0"), {}, "nobody would be asked who they are"),  # noqa: S104 - refused
        ((), {"HEADRACE_SERVING_AUTH": "keys"}, "there is no API key"),
        (
            (),
            {"HEADRACE_SERVING_AUTH": "keys", "HEADRACE_SERVING_KEYS": '{"one": "short"}'},
            "the API key one is no key",
        ),
        ((), {"HEADRACE_SERVING_AUTH": "oidc"}, "auth_discovery_url"),
        ((), {"HEADRACE_SERVING_TLS": '{"certfile": "none.pem"}'}, "certfile and keyfile"),
        (
            (),
            {"HEADRACE_SERVING_TLS": '{"certfile": "none.pem", "keyfile": "none.key"}'},
            "No such file",
        ),
    ],
)
def test_what_can_not_be_served_is_told_at_the_start(
    lake: tuple[Settings, list[dict[str, Any]]],
    arguments: tuple[str, ...],
    environ: dict[str, str],
    told: str,
) -> None:
    status, said = headrace_serve(lake[0].home, *arguments, **environ)
    assert (status, said.count("\n")) == (78, 1), said
    assert told in said
    assert "short" not in said


def test_on_sighup_one_worker_begins_anew_with_the_keys_that_there_are_then(
    lake: tuple[Settings, list[dict[str, Any]]], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEYS[0]}\n")
    (port,) = free_ports(("port",), ()).values()
    environ = {"HEADRACE_SERVING_AUTH": "keys", "HEADRACE_SERVING_KEYS_FILE": str(keys)}
    with headrace_server(lake[0].home, "--port", str(port), **environ) as server:
        eventually(server, 200)
        before, after = ({"X-API-Key": key} for key in KEYS[:2])
        assert server.ask(READ, one(), headers=before).status == 200
        keys.write_text(f"{KEYS[1]}\n")
        server.process.send_signal(signal.SIGHUP)

        def taken() -> bool:
            with suppress(ConnectionError):
                return server.ask(READ, one(), headers=after).status == 200
            return False

        until(taken, "the new key is known")
        assert server.ask(READ, one(), headers=before).status == 401
        assert server.end() == 0


def test_where_somebody_listens_already_nothing_is_served(
    lake: tuple[Settings, list[dict[str, Any]]],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = headrace_serve(lake[0].home, "--port", str(port))
    assert (status, said.count("\n")) == (78, 1), said
    assert f"can't listen on 127.0.0.1, port {port}: Address already in use" in said


def test_a_project_that_is_not_registered_is_not_served(tmp_path: Path) -> None:
    status, said = headrace_serve(tmp_path)
    assert (status, "headrace apply" in said) == (78, True)
