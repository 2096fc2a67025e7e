#!/usr/bin/env python3
"""Writes request.bin and response.bin: OTLP as another implementation encodes it (opentelemetry-proto from PyPI, generated
from the protocol's own definitions), with every field that hookward writes or reads set to a value of its own. tests/otlp.rs
decodes them with hookward's messages. Run: pip install opentelemetry-proto && tests/data/otlp/make.py"""
from pathlib import Path

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.resource.v1 import resource_pb2 as resource
from opentelemetry.proto.trace.v1 import trace_pb2 as trace


def text(key, value):
    return common.KeyValue(key=key, value=common.AnyValue(string_value=value))


span = trace.Span(
    trace_id=bytes(range(1, 17)),
    span_id=bytes(range(21, 29)),
    trace_state="a=1,b=2",
    parent_span_id=bytes(range(31, 39)),
    flags=0x301,
    name="POST /hooks/clerk",
    kind=trace.Span.SPAN_KIND_SERVER,
    start_time_unix_nano=1_795_248_012_000_000_001,
    end_time_unix_nano=1_795_248_013_000_000_002,
    attributes=[
        text("text", "é"),
        common.KeyValue(key="bool", value=common.AnyValue(bool_value=True)),
        common.KeyValue(key="int", value=common.AnyValue(int_value=-5)),
    ],
    status=trace.Status(message="why", code=trace.Status.STATUS_CODE_ERROR),
)
request = service.ExportTraceServiceRequest(
    resource_spans=[
        trace.ResourceSpans(
            resource=resource.Resource(attributes=[text("service.name", "gate")]),
            scope_spans=[
                trace.ScopeSpans(scope=common.InstrumentationScope(name="hookward", version="9.8.7"), spans=[span])
            ],
        )
    ]
)
response = service.ExportTraceServiceResponse(
    partial_success=service.ExportTracePartialSuccess(rejected_spans=3, error_message="too old")
)
here = Path(__file__).parent
(here / "request.bin").write_bytes(request.SerializeToString(deterministic=True))
(here / "response.bin").write_bytes(response.SerializeToString(deterministic=True))
