//! The keys of `[verified_event]`: part of the one table of keys.

use super::keys::{HOUR, Key, Kind, Shape, Status, key, optional, required, seconds, shape};
use super::keys_route::INLINE_SECRET;

pub(super) static VERIFIED_EVENT: Shape = shape(&[optional(
    "token",
    Kind::Table(&TOKEN),
    "A signed token, `verified-event-token`, that the app can check; without the table there is none.",
)]);

static TOKEN: Shape = shape(&[
    key(
        "algorithm",
        Kind::Choice(&["HS256", "EdDSA"]),
        "\"HS256\"",
        "`HS256`: hookward and the app share the key. `EdDSA`: the app knows only the public half (Ed25519).",
    ),
    required(
        "key",
        Kind::Table(&TOKEN_KEY),
        "The key: for HS256 at least 32 random bytes, taken as they are; for EdDSA a private key in PEM (PKCS #8).",
    ),
    key("audience", Kind::Text, "\"app\"", "For whom tokens are: `aud`."),
    key("issuer", Kind::Text, "\"hookward\"", "Who makes them: `iss`."),
    key("ttl", seconds(1, HOUR), "\"60s\"", "How long a token is good."),
]);

static TOKEN_KEY: Shape = Shape {
    keys: &[
        optional(
            "env",
            Kind::Text,
            "The environment variable that holds it. Exactly one of `env`, `file`, `insecure_value`.",
        ),
        optional("file", Kind::Text, "The file that holds it. One newline at its end is dropped."),
        optional("insecure_value", Kind::Text, "The key itself, for tests: whoever can read this file can sign."),
        Key { name: "value", kind: Kind::Text, default: None, status: Status::Never(INLINE_SECRET), doc: "" },
    ],
    exactly_one: &["env", "file", "insecure_value"],
};
