"""Handlers of the endpoints of an API (`api_contract.Endpoint`)."""

from __future__ import annotations

from aiohttp import web

from batonics.server.answer_encoding import AnswerTags, compress_answer
from batonics.server.api_contract import Endpoint
from batonics.server.handlers import EncodedAnswer, Handler, json_response
from batonics.server.query_params import parse_query

_ROUTES = {"get": web.get, "post": web.post}


def endpoint_route(endpoint: Endpoint, tags: AnswerTags) -> web.RouteDef:
    """The route of an endpoint; `tags` has the ETags of answers that never change."""
    return _ROUTES[endpoint.method](endpoint.path, _bind(endpoint, tags))


def _bind(endpoint: Endpoint, tags: AnswerTags) -> Handler:
    names = endpoint.query_names

    async def answer(request: web.Request) -> web.StreamResponse:
        params = parse_query(request.query.items(), names)
        params.update(request.match_info)
        endpoint.check_required(params)
        if endpoint.is_fixed and tags.is_known(request):
            not_modified = web.Response(status=304)
            not_modified.etag = tags.find(request)
            return not_modified
        answer = await endpoint.handler(request, params)
        if isinstance(answer, EncodedAnswer):
            response = web.Response(body=answer.body, content_type=answer.media)
        else:
            response = json_response(answer)
        if endpoint.is_fixed:
            response.etag = tags.find(request)
        if endpoint.other_media:
            response.headers["Vary"] = "Accept"
        await compress_answer(request, response)
        return response

    return answer


def bind_document(document: object) -> Handler:
    """The handler of a path that takes no parameter and answers with one document."""

    async def answer(request: web.Request) -> web.StreamResponse:
        parse_query(request.query.items(), ())
        return json_response(document)

    return answer
