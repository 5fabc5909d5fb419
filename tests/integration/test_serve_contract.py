"""The contract of `batonics serve`: what schemathesis tries of it, every answer keeps.

It makes requests from the OpenAPI document, valid and invalid ones, and checks status, media type,
headers and the schema of each answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.support.command import SAMPLE
from tests.support.lakes import load
from tests.support.serve import Server, serving

# A time may be before the data, and an end before a beginning, though each is well formed.
CONFIG = {"checks": {"positive_data_acceptance": {"expected-statuses": [200, 404, 410, 422]}}}

WITHOUT_PARAMETERS = ("/v1/stats", "/v1/queries", "/v1/lake")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    lake = tmp_path_factory.mktemp("contract") / "lake"
    load(lake, SAMPLE)
    with serving(
        SAMPLE, "--lake", lake, BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S="1000000"
    ) as running:
        yield running


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_keeps_the_contract(server: Server, mode: GenerationMode) -> None:
    contract = schemathesis.openapi.from_url(
        f"http://{server.address}/openapi.json", config=schemathesis.Config.from_dict(CONFIG)
    )
    tried = set()
    for result in contract.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]  # raises what is wrong
        tried.add(operation.path)
        if operation.path in WITHOUT_PARAMETERS and mode is GenerationMode.NEGATIVE:
            continue  # no request of it can be wrong

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=25, suppress_health_check=list(HealthCheck))
        def check(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate()

        check()
    assert tried == set(server.get("/openapi.json").document["paths"])
