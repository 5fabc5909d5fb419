"""The contract of an API: its endpoints, and the OpenAPI document that describes them.

The rule here: what a handler accepts and what the document says come from one table. A parameter
that the table does not have is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from batonics.server.query_params import ProblemError

COMPONENTS = "#/components/schemas/"
"""Where the document has the types that others refer to."""
_TIME = "ISO 8601, UTC where it has no offset, or nanoseconds since the epoch"
_DATE = (
    "(197[1-9]|19[89][0-9]|2[01][0-9]{2})-"
    "((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
)
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
_OFFSET = "(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])"
_TIME_FORM = rf"{_DATE}(T{_CLOCK}{_OFFSET}?)?|[1-9][0-9]{{0,17}}"
RECORD_PREFIX = "record:"
_RECORD_FORM = f"{RECORD_PREFIX}(0|[1-9][0-9]{{0,17}})"


@dataclass(frozen=True)
class Parameter:
    """A parameter of an endpoint.

    Attributes:
        name: its name; one in the path is `{name}` there.
        text: what it means.
        schema: its JSON Schema.
        is_required: whether a request without it is refused; those in the path are there always.
    """

    name: str
    text: str
    schema: Mapping[str, Any]
    is_required: bool = False


@dataclass(frozen=True)
class Endpoint:
    """An endpoint.

    Attributes:
        path: its path, with `{name}` for parameters in it.
        summary: what it answers, in one line.
        handler: answers a request with a document.
        document: the type of the document, or its JSON Schema.
        parameters: its parameters.
        other_media: the media types that the answer has too, if the header Accept names them.
        body: the type of the body of a POST; None: it is a GET.
        is_fixed: the answer to a request never changes while the server runs.
    """

    path: str
    summary: str
    handler: Callable[[web.Request, dict[str, str]], Awaitable[Any]]
    document: Any
    parameters: Sequence[Parameter] = ()
    other_media: Sequence[str] = ()
    body: Any = None
    is_fixed: bool = True

    def check_required(self, params: Mapping[str, str]) -> None:
        """Refuse a request that lacks a parameter, or has an empty one."""
        for one in self.parameters:
            if one.is_required and one.name not in params:
                raise ProblemError(400, "Missing parameter", f"give {one.name}: {one.text}")
            if params.get(one.name) == "":
                raise ProblemError(400, "Empty parameter", f"{one.name} is empty: {one.text}")

    @property
    def method(self) -> str:
        """The method of its requests."""
        return "get" if self.body is None else "post"

    @property
    def query_names(self) -> list[str]:
        """The names of the parameters that are not in the path."""
        return [one.name for one in self.parameters if f"{{{one.name}}}" not in self.path]


def text_parameter(name: str, text: str, *, is_required: bool = False) -> Parameter:
    """A parameter of any text."""
    return Parameter(name, text, {"type": "string", "minLength": 1}, is_required)


def time_parameter(name: str, text: str) -> Parameter:
    """A parameter that is a time."""
    return Parameter(name, f"{text}: {_TIME}", {"type": "string", "pattern": f"^({_TIME_FORM})$"})


def moment_parameter(name: str, text: str) -> Parameter:
    """A parameter that is a time, or a record."""
    form = {"type": "string", "pattern": f"^({_TIME_FORM}|{_RECORD_FORM})$"}
    return Parameter(
        name, f"{text}: {_TIME}; or {RECORD_PREFIX}NUMBER, the moment after that record", form
    )


def price_parameter(name: str, text: str) -> Parameter:
    """A parameter that is a price as decimal text."""
    form = {"type": "string", "pattern": r"^-?[0-9]{1,9}(\.[0-9]{1,9})?$"}
    return Parameter(name, f"{text}: decimal text", form)


def number_parameter(name: str, text: str, minimum: int, maximum: int) -> Parameter:
    """A parameter that is an integer between two bounds."""
    return Parameter(name, text, {"type": "integer", "minimum": minimum, "maximum": maximum})


def choice_parameter(name: str, text: str, choices: Sequence[str]) -> Parameter:
    """A parameter that is one of some words."""
    return Parameter(name, text, {"type": "string", "enum": list(choices)})


CURSOR = Parameter(
    "cursor", "`next` of the page before", {"type": "string", "pattern": "^[0-9]{1,18}$"}
)
PROBLEM = {
    "description": "A problem of RFC 9457.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}


def openapi_document(title: str, endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of endpoints."""
    schemas: dict[str, Any] = {"Problem": PROBLEM}
    paths = {
        endpoint.path: {
            endpoint.method: {
                "summary": endpoint.summary,
                "operationId": endpoint.path.strip("/").replace("/", "_").translate(_NO_BRACES),
                "parameters": [_parameter(endpoint, one) for one in endpoint.parameters],
                **_request_body(endpoint, schemas),
                "responses": {
                    "200": _response(endpoint, _schema(endpoint.document, schemas)),
                    "default": {
                        "description": "The request cannot be answered.",
                        "content": {
                            "application/problem+json": {"schema": {"$ref": f"{COMPONENTS}Problem"}}
                        },
                    },
                },
            }
        }
        for endpoint in endpoints
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version("batonics")},
        "paths": paths,
        "components": {"schemas": schemas},
    }


_NO_BRACES = str.maketrans("", "", "{}")


def _schema(document: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a document; the types that it uses go to `schemas`."""
    if isinstance(document, Mapping):
        schema = dict(document)
    else:
        schema = TypeAdapter(document).json_schema(ref_template=f"{COMPONENTS}{{model}}")
    schemas.update(schema.pop("$defs", {}))
    return schema


def _request_body(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    if endpoint.body is None:
        return {}
    content = {"application/json": {"schema": _schema(endpoint.body, schemas)}}
    return {"requestBody": {"required": True, "content": content}}


def _parameter(endpoint: Endpoint, parameter: Parameter) -> dict[str, Any]:
    in_path = parameter.name not in endpoint.query_names
    return {
        "name": parameter.name,
        "in": "path" if in_path else "query",
        "required": in_path or parameter.is_required,
        "description": parameter.text,
        "schema": dict(parameter.schema),
    }


def _response(endpoint: Endpoint, schema: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    content |= {media: {"schema": {"type": "string"}} for media in endpoint.other_media}
    return {"description": "The answer.", "content": content}
