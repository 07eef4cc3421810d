"""Reads what goes to a collector, by OpenTelemetry's own definitions."""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDENTITIES = ("traceId", "spanId", "parentSpanId")


def decoded(body: bytes) -> Any:
    """An ``ExportTraceServiceRequest``. What its definition doesn't know fails.

    OTLP's JSON has identities in hexadecimal where JSON of protobuf has base64.
    """
    return json_format.Parse(json.dumps(_based(json.loads(body))), ExportTraceServiceRequest())


def _based(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _identity(each) if name in IDENTITIES else _based(each) for name, each in value.items()}
    return [_based(each) for each in value] if isinstance(value, list) else value


def _identity(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def spans_of(body: bytes) -> list[Any]:
    """Its spans."""
    return [span for each in decoded(body).resource_spans for scope in each.scope_spans for span in scope.spans]


def attributes(span: Any) -> dict[str, Any]:
    """Of a span or a resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
