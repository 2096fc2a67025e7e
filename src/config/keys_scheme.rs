//! The part of the table of keys that describes `[schemes.NAME]`: the keys of `SchemeSpec`.
//!
//! Must hold every key that the catalogue uses (a test holds that). Defaults are documentation here: serde fills them in.

use super::keys::{HOUR, Kind, Shape, key, optional, required, shape};

const ALGORITHMS: &[&str] = &["hmac-sha1", "hmac-sha256", "hmac-sha512", "ed25519"];
const KEY_ENCODINGS: &[&str] = &["utf8", "base64", "hex"];

/// `[schemes.NAME]`.
pub(crate) static SCHEME: Shape = shape(&[
    key("algorithm", Kind::Choice(ALGORITHMS), "\"hmac-sha256\"", "The MAC or signature algorithm."),
    optional("key", Kind::Table(&SCHEME_KEY), "How a configured secret becomes key bytes."),
    optional(
        "alternative_keys",
        Kind::Tables(&SCHEME_ALTERNATIVE_KEY),
        "Further forms of secret, told apart by their prefix.",
    ),
    required("signature", Kind::Table(&SCHEME_SIGNATURE), "Where the signature is and how it is written."),
    optional(
        "timestamp",
        Kind::Table(&SCHEME_TIMESTAMP),
        "Where the signed time is. Without it there is no tolerance check.",
    ),
    optional("id", Kind::Table(&SCHEME_FIELD), "Where the delivery's id is."),
    optional("event_type", Kind::Table(&SCHEME_FIELD), "Where the event's type is."),
    required(
        "content",
        Kind::Text,
        "What is signed: literals and {id}, {timestamp}, {body}. {body} exactly once, a literal between variable parts.",
    ),
    key(
        "required_headers",
        Kind::Groups,
        "[]",
        "Further headers that must be there, once and not empty; each a name, or one per family. They are not signed.",
    ),
    key("refuse_empty_body", Kind::Bool, "false", "Refuse an empty body even when it is signed."),
    key("insecure_unsigned_body", Kind::Bool, "false", "Allows a `content` without {body}."),
]);

static SCHEME_KEY: Shape = shape(&[
    key("encoding", Kind::Choice(KEY_ENCODINGS), "\"utf8\"", "The encoding of the secret, after its prefix."),
    key("prefixes", Kind::Texts, "[]", "Prefixes a secret may start with; the longest that fits counts."),
    key("keep_prefix", Kind::Bool, "false", "Whether the prefix is part of the key."),
    key("prefix_required", Kind::Bool, "false", "Whether a secret without a prefix is a problem."),
    key("foreign_prefixes", Kind::Texts, "[]", "Prefixes of the provider's other credentials, refused here."),
]);

static SCHEME_ALTERNATIVE_KEY: Shape = shape(&[
    required("prefix", Kind::Text, "What such a secret starts with."),
    optional("private_prefix", Kind::Text, "What its private half starts with, which is refused."),
    required("encoding", Kind::Choice(KEY_ENCODINGS), "Its encoding after the prefix."),
    required("algorithm", Kind::Choice(ALGORITHMS), "Its algorithm."),
    required("version", Kind::Text, "The version of the signature entries that it checks."),
]);

static SCHEME_SIGNATURE: Shape = shape(&[
    required(
        "header",
        Kind::TextOrTexts,
        "The header, or one per family: the first family of which any header is present must be complete.",
    ),
    required(
        "encoding",
        Kind::Choice(&["hex", "hex-any", "base64"]),
        "Lower-case hex, hex in either case, or padded base64.",
    ),
    key("prefix", Kind::Text, "\"\"", "Text before the encoded bytes, `sha256=`."),
    key(
        "format",
        Kind::Choice(&["plain", "pairs", "versioned"]),
        "\"plain\"",
        "One signature, `key=value` entries, or `version,value` entries.",
    ),
    optional(
        "separator",
        Kind::Text,
        "Between entries, one character: by default a space for `versioned`, a comma for `pairs`.",
    ),
    optional("version", Kind::Text, "The entries that count: `v1`."),
]);

static SCHEME_TIMESTAMP: Shape = Shape {
    keys: &[
        optional("header", Kind::TextOrTexts, "A header, or one per family. Exactly one of `header` and `pair`."),
        optional("pair", Kind::Text, "A key in a `pairs` signature header, `t`."),
        key("unit", Kind::Choice(&["s", "ms"]), "\"s\"", "Unix seconds or milliseconds."),
        key(
            "tolerance",
            Kind::Integer { min: 1, max: HOUR },
            "300",
            "Seconds either way, unless the route says otherwise.",
        ),
    ],
    exactly_one: &["header", "pair"],
};

static SCHEME_FIELD: Shape = Shape {
    keys: &[
        optional("header", Kind::TextOrTexts, "A header, or one per family. Exactly one of `header` and `json`."),
        optional("json", Kind::Text, "A top-level string member of the JSON body, read after the MAC."),
    ],
    exactly_one: &["header", "json"],
};
