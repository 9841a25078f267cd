"""What a project has whose online store is in Redis. Nothing is started or changed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from headrace_orchestration.diagnosis.checks import Check, Status, failed
from headrace_schemas.errors import HeadraceError, RetryableError
from headrace_schemas.setting_table import EMBEDDED
from headrace_streaming.services.redis import program

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

#: The oldest that Headrace works with.
_OLDEST = (6, 2)
_NAME = "online store"


def redis_checks(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    """Whether the Redis of the settings can be started, is there, and keeps what it is given."""
    if settings.online.redis_url != EMBEDDED:
        return [_reached(settings)]
    try:
        server = program(environ)
    except HeadraceError as error:
        return [failed("Redis", error)]
    return [_installed(server), _reached(settings)]


def _installed(server: str) -> Check:
    done = subprocess.run(  # noqa: S603 - found on the PATH
        [server, "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"\bv=([0-9.]+)", done.stdout)
    if done.returncode or found is None:
        advice = f"see: {server} --version"
        return Check("Redis", Status.PROBLEM, f"{server} doesn't tell its version", advice)
    return _recent("Redis", found[1], f"{found[1]} in {server}")


def _reached(settings: Settings) -> Check:
    try:
        from headrace_features.online.redis_access import redis_access
        from headrace_features.online.redis_connection import RedisConnection
    except ModuleNotFoundError as error:
        advice = "pip install 'headrace[serving]'"
        return Check(_NAME, Status.PROBLEM, f"{error.name} is not installed", advice)
    try:
        access = redis_access(settings.online, settings.home)
    except RetryableError as error:
        return Check(_NAME, Status.WARNING, error.message, error.hint)
    connection = RedisConnection(access)
    try:
        with connection.commands() as client:
            # A cluster has one answer for each node, and its nodes may differ.
            told = client.info("all", target_nodes="primaries") if access.address.cluster else None
            nodes = list(told.values()) if told else [client.info("all")]
    except HeadraceError as error:
        if access.embedded and isinstance(error, RetryableError):
            return Check(_NAME, Status.WARNING, error.message, error.hint)
        return failed(_NAME, error)
    finally:
        connection.close()
    return _judged(str(access.address), nodes)


def _judged(where: str, nodes: list[dict[str, Any]]) -> Check:
    version = min((str(node["redis_version"]) for node in nodes), key=_numbers)
    found = f"Redis {version} at {where}" + (f", {len(nodes)} parts" if len(nodes) > 1 else "")
    check = _recent(_NAME, version, found)
    if check.status is not Status.OK:
        return check
    policies = {str(node.get("maxmemory_policy", "unknown")) for node in nodes}
    found += f", maxmemory-policy {', '.join(sorted(policies))}"
    if policies - {"noeviction", "unknown"}:
        advice = "set maxmemory-policy noeviction: an entity that is evicted reads as one without"
        return Check(_NAME, Status.WARNING, found, f"{advice} events")
    return Check(_NAME, Status.OK, "; ".join((found, *_losses(nodes))))


def _losses(nodes: list[dict[str, Any]]) -> Iterator[str]:
    if not all(node.get("aof_enabled") for node in nodes):
        yield "it has no append-only file: a crash may lose what was written last"


def _recent(name: str, version: str, found: str) -> Check:
    if _numbers(version) >= _OLDEST:
        return Check(name, Status.OK, found)
    oldest = ".".join(map(str, _OLDEST))
    return Check(name, Status.PROBLEM, found, f"Redis {oldest} or newer is needed")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
