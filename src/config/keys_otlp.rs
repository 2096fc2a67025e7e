//! The keys of `[telemetry.otlp]`: part of the one table of keys.

use super::keys::{Key, Kind, Shape, Status, key, optional, required, shape};
use super::keys_route::INLINE_SECRET;

pub(super) static OTLP: Shape = shape(&[
    required(
        "endpoint",
        Kind::Text,
        "The collector: http:// or https://, host and port. `/v1/traces` is added. It takes OTLP over HTTP with protobuf.",
    ),
    key("service_name", Kind::Text, "\"hookward\"", "Who sends the spans: `service.name`."),
    optional("headers", Kind::Tables(&HEADER), "Header fields for the collector, each with its value in a secret."),
    optional("ca", Kind::Text, "PEM file: the authorities to trust instead of the public ones."),
]);

static HEADER: Shape = Shape {
    keys: &[
        required("name", Kind::Text, "The field's name, `authorization` or `x-api-key`."),
        optional(
            "env",
            Kind::Text,
            "The environment variable that holds its whole value. Exactly one of `env`, `file`, `insecure_value`.",
        ),
        optional("file", Kind::Text, "The file that holds it. One newline at its end is dropped."),
        optional("insecure_value", Kind::Text, "The value itself, for tests: whoever can read this file has it."),
        Key { name: "value", kind: Kind::Text, default: None, status: Status::Never(INLINE_SECRET), doc: "" },
    ],
    exactly_one: &["env", "file", "insecure_value"],
};
