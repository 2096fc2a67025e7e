//! The keys of `[verified_event]`: part of the one table of keys.

use super::keys::{HOUR, Kind, Shape, key, optional, required, seconds, shape};
use super::keys_route::SOURCE;

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
        Kind::Table(&SOURCE),
        "The key: for HS256 at least 32 random bytes, taken as they are; for EdDSA a private key in PEM (PKCS #8).",
    ),
    key("audience", Kind::Text, "\"app\"", "For whom tokens are: `aud`."),
    key("issuer", Kind::Text, "\"hookward\"", "Who makes them: `iss`."),
    key("ttl", seconds(1, HOUR), "\"60s\"", "How long a token is good."),
]);
