"""Names of options that belong to others, where only some of these are taken."""

from __future__ import annotations

#: What access to Redis may need, by the names of redis-py that all of its clients know.
REDIS_OPTIONS = (
    "client_name",
    "password",
    "ssl_ca_certs",
    "ssl_ca_data",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_ciphers",
    "ssl_keyfile",
    "username",
)
#: Feast's names for who issues tokens.
OIDC_OPTIONS = (
    "audience",
    "auth_discovery_url",
    "ca_cert_path",
    "client_id",
    "issuer",
    "jwks_cache_lifespan_seconds",
    "jwks_request_timeout_seconds",
    "verify_ssl",
)
