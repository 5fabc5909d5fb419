"""The AsyncAPI 3 document of /v1/ws, made from the types that read and make its messages.

The rule here: nothing is described twice. The schema of a message is that of its type.
"""

from __future__ import annotations

from importlib.metadata import version
from types import UnionType
from typing import Any, get_args

from pydantic import TypeAdapter

from batonics.server import channel_messages, channel_requests
from batonics.server.channel_sockets import WEBSOCKET_PATH

_SCHEMAS = "#/components/schemas/"
_CHANNEL = "#/channels/books"
_REQUESTS = channel_requests.BookRequest | channel_requests.ClockRequest


def asyncapi_document(title: str) -> dict[str, Any]:
    """The document."""
    schemas: dict[str, Any] = {}
    sent, received = (
        [_add(kind, schemas) for kind in _members(union)]
        for union in (channel_messages.ServerMessage, _REQUESTS)
    )
    names = [*sent, *received]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": version("batonics"),
            "description": (channel_messages.__doc__ or "").partition("\n\n")[2],
        },
        "defaultContentType": "application/json",
        "channels": {
            "books": {
                "address": WEBSOCKET_PATH,
                "description": "One connection: any books on any channels, and one clock.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            "send": {
                "action": "send",
                "channel": {"$ref": _CHANNEL},
                "messages": [{"$ref": f"{_CHANNEL}/messages/{name}"} for name in sent],
            },
            "receive": {
                "action": "receive",
                "channel": {"$ref": _CHANNEL},
                "messages": [{"$ref": f"{_CHANNEL}/messages/{name}"} for name in received],
            },
        },
        "components": {
            "messages": {
                name: {
                    "summary": schemas[name].get("description", name).split("\n")[0],
                    "payload": {"$ref": f"{_SCHEMAS}{name}"},
                }
                for name in names
            },
            "schemas": schemas,
        },
    }


def _members(union: UnionType) -> list[Any]:
    return list(get_args(union))


def _add(kind: Any, schemas: dict[str, Any]) -> str:
    """Add the schema of a type and of those that it uses; its name."""
    schema = TypeAdapter(kind).json_schema(ref_template=f"{_SCHEMAS}{{model}}")
    schemas.update(schema.pop("$defs", {}))
    name: str = kind.__name__
    schemas[name] = schema
    return name
