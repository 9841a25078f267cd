"""Errors as responses: a fitting status, and one line that says what is wrong and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from feast.errors import (
    FeastError,
    FeatureNameCollisionError,
    PushSourceNotFoundException,
    RequestDataNotFoundInEntityRowsException,
)

from headrace_schemas.errors import (
    BadRecordError,
    ConfigurationError,
    HeadraceError,
    RetryableError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

_LOG = logging.getLogger("uvicorn.error")
_STATUS: Mapping[type[HeadraceError], int] = {
    BadRecordError: 422,
    UnsupportedError: 422,
    ConfigurationError: 500,
    RetryableError: 503,
}
#: What Feast has another status for, or one by a name that is going away.
_ASKED_WRONGLY = (
    FeatureNameCollisionError,
    PushSourceNotFoundException,
    RequestDataNotFoundInEntityRowsException,
)
_BUSY = 503
_MISTAKEN = 500
#: When to come back after a store, a broker or the server had too much to do.
RETRY_AFTER = {"retry-after": "1"}


def status_of(error: HeadraceError) -> int:
    """The status of an error of ours."""
    return next((code for kind, code in _STATUS.items() if isinstance(error, kind)), _MISTAKEN)


def answer_errors(app: FastAPI) -> None:
    """Let an application answer with our errors, in the place of Feast's handler."""
    app.add_exception_handler(HeadraceError, _ours)
    app.add_exception_handler(FeastError, _feasts)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unknown)


async def _ours(_: Request, error: Exception) -> JSONResponse:
    status = status_of(error) if isinstance(error, HeadraceError) else _MISTAKEN
    if status == _MISTAKEN:
        _LOG.error("%s", error)
    return _response(status, str(error), RETRY_AFTER if status == _BUSY else None)


async def _feasts(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, _ASKED_WRONGLY):
        return _response(422, _line(error))
    status = error.http_status_code() if isinstance(error, FeastError) else _MISTAKEN
    return _response(status, _line(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    problems = error.errors() if isinstance(error, RequestValidationError) else ()
    return _response(422, "the request is not as expected: " + "; ".join(map(_told, problems)))


async def _unknown(_: Request, error: Exception) -> JSONResponse:
    # The server logs it with all that is known.
    return _response(_MISTAKEN, f"internal error: {type(error).__name__}; see the server's log")


def _response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    content: dict[str, Any] = {"detail": detail}
    return JSONResponse(content, status, headers)


def _told(problem: Mapping[str, Any]) -> str:
    place = problem["loc"][1:]
    if problem["type"] == "json_invalid":
        return f"at character {place[0]} it is no JSON: {problem['ctx']['error']}"
    return f"{'.'.join(map(str, place)) or 'body'}: {problem['msg']}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
