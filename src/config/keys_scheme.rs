//! The part of the table of keys that describes `[schemes.NAME]`: the keys of `SchemeSpec`.
//!
//! Must hold every key that the catalogue uses (a test holds that). Defaults are documentation here: serde fills them in.

use super::keys::{HOUR, Kind, Shape, key, optional, required, shape};

const ALGORITHMS: &[&str] =
    &["hmac-sha1", "hmac-sha256", "hmac-sha512", "sha256", "ed25519", "ecdsa-p256", "rsa-sha256", "token"];
const KEY_ENCODINGS: &[&str] = &["utf8", "utf8-nfkd", "base64", "hex", "spki"];
const ENGINES: &[&str] = &[
    "template",
    "twilio",
    "mandrill",
    "adyen-payments",
    "mailgun",
    "dropbox-sign",
    "microsoft-graph",
    "contentful",
    "aws-sns",
    "jwt",
    "rfc9421",
];

/// Some senders keep a delivery's time over all of its retries.
const TWO_DAYS: u64 = 48 * HOUR;

/// `[schemes.NAME]`.
pub(crate) static SCHEME: Shape = shape(&[
    key(
        "engine",
        Kind::Choice(ENGINES),
        "\"template\"",
        "What judges a delivery: the data here alone, or the code that one provider needs.",
    ),
    key("algorithm", Kind::Choice(ALGORITHMS), "\"hmac-sha256\"", "The MAC or signature algorithm."),
    optional("key", Kind::Table(&SCHEME_KEY), "How a configured secret becomes key bytes."),
    optional(
        "alternative_keys",
        Kind::Tables(&SCHEME_ALTERNATIVE_KEY),
        "Further forms of secret, told apart by their prefix.",
    ),
    optional(
        "signature",
        Kind::Table(&SCHEME_SIGNATURE),
        "Where the signature is and how it is written. Only engines that find it in the body do without.",
    ),
    optional(
        "timestamp",
        Kind::Table(&SCHEME_TIMESTAMP),
        "Where the signed time is. Without it there is no tolerance check.",
    ),
    optional("id", Kind::Table(&SCHEME_FIELD), "Where the delivery's id is."),
    optional("event_type", Kind::Table(&SCHEME_FIELD), "Where the event's type is."),
    key(
        "content",
        Kind::Text,
        "\"\"",
        "What is signed: literals and {id}, {timestamp}, {method}, {url} or {url_decoded}, {body}, {secret}, each at most once, a literal between those that do not show their own end.",
    ),
    key(
        "required_headers",
        Kind::Groups,
        "[]",
        "Further headers that must be there, once and not empty; each a name, or one per family. They are not signed.",
    ),
    optional(
        "required_values",
        Kind::Tables(&SCHEME_REQUIRED_VALUE),
        "Headers that must be there, once, with one value. They are not signed.",
    ),
    optional("options", Kind::Named(&SCHEME_OPTION), "What a route may or must say in `options`."),
    key(
        "companions",
        Kind::Texts,
        "[]",
        "Headers that the same sender sends along, and that stay though they are another scheme's.",
    ),
    optional("jwt", Kind::Table(&SCHEME_JWT), "What `engine = \"jwt\"` looks for in the token."),
    key("refuse_empty_body", Kind::Bool, "false", "Refuse an empty body even when it is signed."),
    key("insecure_unsigned_body", Kind::Bool, "false", "Allows a `content` without {body}."),
]);

static SCHEME_KEY: Shape = shape(&[
    key("encoding", Kind::Choice(KEY_ENCODINGS), "\"utf8\"", "The encoding of the secret, after its prefix."),
    key("prefixes", Kind::Texts, "[]", "Prefixes a secret may start with; the longest that fits counts."),
    key("keep_prefix", Kind::Bool, "false", "Whether the prefix is part of the key."),
    optional(
        "unprefixed",
        Kind::Choice(KEY_ENCODINGS),
        "The encoding of a secret without any of the prefixes, where it is another one.",
    ),
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
        Kind::Choice(&["hex", "hex-any", "base64", "text"]),
        "Lower-case hex, hex in either case, padded base64, or for tokens the text itself.",
    ),
    key(
        "also",
        Kind::Texts,
        "[]",
        "Further headers that may hold one more signature, made with another of the secrets.",
    ),
    key("trim", Kind::Bool, "false", "Whether one space may follow a separator of `pairs`."),
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
        optional(
            "header",
            Kind::TextOrTexts,
            "A header, or one per family. Exactly one of `header`, `pair` and `json`.",
        ),
        optional("pair", Kind::Text, "A key in a `pairs` signature header, `t`."),
        optional("json", Kind::Text, "A member of the JSON body, `data.createdAt`, read after the MAC."),
        key("unit", Kind::Choice(&["s", "ms", "rfc3339"]), "\"s\"", "Unix seconds, milliseconds, or a date."),
        key(
            "tolerance",
            Kind::Integer { min: 1, max: TWO_DAYS },
            "300",
            "Seconds either way, unless the route says otherwise.",
        ),
        key(
            "insecure_any_age",
            Kind::Bool,
            "false",
            "Takes any time unless the route says otherwise: for senders whose retries keep the first attempt's.",
        ),
    ],
    // Which of the sources there is, is for the engine to say.
    exactly_one: &[],
};

static SCHEME_FIELD: Shape = Shape {
    keys: &[
        optional("header", Kind::TextOrTexts, "A header, or one per family. Exactly one of `header` and `json`."),
        optional("json", Kind::Text, "A string member of the JSON body, `type` or `data.type`, read after the MAC."),
    ],
    exactly_one: &["header", "json"],
};

static SCHEME_REQUIRED_VALUE: Shape = Shape {
    keys: &[
        required("header", Kind::Text, "The header."),
        optional("value", Kind::Text, "Its value. Exactly one of `value` and `option`."),
        optional("option", Kind::Text, "The route's option that has the value."),
    ],
    exactly_one: &["value", "option"],
};

static SCHEME_OPTION: Shape = shape(&[
    required("doc", Kind::Text, "What it is, and where to find it."),
    key("required", Kind::Bool, "false", "Whether a route has to have it."),
    key("file", Kind::Bool, "false", "Whether its value names a file, of which the content counts."),
]);

static SCHEME_JWT: Shape = shape(&[
    optional("issuer", Kind::Text, "What `iss` must be."),
    optional("issuer_option", Kind::Text, "The route's option that says what `iss` must be."),
    required("body_hash", Kind::Table(&SCHEME_CLAIM), "The claim that holds the body's SHA-256."),
    optional("url_hash", Kind::Table(&SCHEME_CLAIM), "The claim that holds the URL's SHA-256."),
    optional("url_claim", Kind::Text, "The claim that holds the URL itself."),
    optional("max_age", Kind::Integer { min: 1, max: HOUR }, "Seconds after `iat`, for tokens without `exp`."),
    key("required", Kind::Texts, "[]", "Further claims that must be there."),
    key("leeway", Kind::Integer { min: 0, max: 300 }, "0", "Seconds by which the sender's clock may differ from ours."),
]);

static SCHEME_CLAIM: Shape = shape(&[
    required("claim", Kind::Text, "Its name."),
    required("encoding", Kind::Choice(&["hex", "base64", "base64url"]), "How the hash is written."),
    key("absent_if_empty", Kind::Bool, "false", "Whether the sender leaves it out where there is nothing to hash."),
]);
