"""How Redis is reached, by the settings: where it is, and what its clients are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace_features.embedded import Service, noted_address
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.redis_address import RedisAddress, parse_redis_url
from headrace_schemas.setting_table import EMBEDDED

if TYPE_CHECKING:
    from headrace_schemas.settings import OnlineSettings

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TRUTH = {"true": True, "false": False}
_CERTIFICATES = ("none", "optional", "required")


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """Where Redis is, and how it is reached; secrets are not shown.

    Attributes:
        address: of one node, or of some of a cluster.
        embedded: whether it is the one that `headrace up` starts.
        options: user, password and certificates, by redis-py's names.
        timeout: how long a command waits, for a free connection, to connect, and for its answer.
        pool: the greatest number of connections, to each node of a cluster.
    """

    address: RedisAddress
    embedded: bool
    options: Mapping[str, str] = field(repr=False)
    timeout: timedelta
    pool: int

    @property
    def timeout_s(self) -> float:
        """How long a command waits."""
        return self.timeout.total_seconds()

    @property
    def secret(self) -> str:
        """What no message may hold; empty where there is no password."""
        return self.options.get("password", "")

    def arguments(self) -> dict[str, Any]:
        """What every connection of redis-py is made with, besides host, port and retries.

        Raises:
            ConfigurationError: options contradict each other or the address, or name a file that
                can't be read.
        """
        common = {
            "decode_responses": False,
            "protocol": 2,
            "socket_timeout": self.timeout_s,
            "socket_connect_timeout": self.timeout_s,
        }
        return common | self._tls() | {n: v for n, v in self.options.items() if n[:4] != "ssl_"}

    def _tls(self) -> dict[str, Any]:
        given = {name: text for name, text in self.options.items() if name.startswith("ssl_")}
        if not self.address.tls:
            if given:
                raise ConfigurationError(
                    f"[online.redis_options] has {', '.join(sorted(given))}, but {self.address} is"
                    " reached without TLS",
                    hint="with TLS its URL begins with rediss://",
                )
            return {}
        if ("ssl_certfile" in given) != ("ssl_keyfile" in given):
            raise ConfigurationError(
                "[online.redis_options] has only one of ssl_certfile and ssl_keyfile",
                hint="a client's certificate and its key belong together",
            )
        for name in _FILES:
            if name in given:
                _require_readable(name, given[name])
        required = _chosen("ssl_cert_reqs", given, "required", _CERTIFICATES)
        # redis-py would take any server's certificate for that of this one.
        checked = "false" if required == "none" else "true"
        checked = _chosen("ssl_check_hostname", given, checked, tuple(_TRUTH))
        if required == "none" and _TRUTH[checked]:
            raise ConfigurationError(
                "[online.redis_options] has ssl_check_hostname with ssl_cert_reqs none",
                hint="a name can only be checked in a certificate that is required",
            )
        return given | {"ssl_cert_reqs": required, "ssl_check_hostname": _TRUTH[checked]}


def redis_access(online: OnlineSettings, home: Path) -> RedisAccess:
    """How the Redis of the settings is reached.

    Args:
        online: the settings.
        home: the folder for all data, where the embedded one is noted.

    Raises:
        RetryableError: the embedded one is meant, and it was never started.
    """
    embedded = online.redis_url == EMBEDDED
    url = f"redis://{noted_address(home, Service.REDIS)}" if embedded else online.redis_url
    address = parse_redis_url(url)
    return RedisAccess(address, embedded, online.redis_options, online.timeout, online.pool)


def _chosen(name: str, given: Mapping[str, str], default: str, allowed: tuple[str, ...]) -> str:
    text = given.get(name, default)
    if text not in allowed:
        raise ConfigurationError(
            f"{name} of [online.redis_options] is not one of: {', '.join(allowed)}"
        )
    return text


def _require_readable(name: str, place: str) -> None:
    try:
        Path(place).open("rb").close()
    except OSError as error:
        raise ConfigurationError(
            f"{name} of [online.redis_options] names {place}, which can't be read:"
            f" {error.strerror}",
            hint="it has to be a file of PEM text",
        ) from error
