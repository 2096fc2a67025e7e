//! The keys of a route and of its secrets.
//!
//! Part of the one table of keys (`keys`). Must never hold a rule that looks at two keys: those live in `compile*`.

use super::keys::{GIB, HOUR, Key, Kind, Shape, Status, key, milliseconds, optional, required, seconds};
use super::keys_replay::RETRY;

pub(super) static ROUTE: Shape = Shape {
    keys: &[
        required(
            "path",
            Kind::Text,
            "The protected path, `/api/webhooks/clerk`, or a prefix, `/api/webhooks/*`; without basePath and locale.",
        ),
        key("methods", Kind::Texts, "[\"POST\"]", "Methods that are taken; the others get 405."),
        optional("provider", Kind::Text, "A scheme of the built-in catalogue. Exactly one of `provider` and `scheme`."),
        optional("scheme", Kind::Text, "A scheme of your own, `[schemes.NAME]`."),
        optional(
            "secrets",
            Kind::Tables(&SECRET),
            "All are tried. Without them, `provider = \"clerk\"` reads CLERK_WEBHOOK_SIGNING_SECRET, else CLERK_WEBHOOK_SECRET.",
        ),
        optional(
            "allow_ips",
            Kind::Texts,
            "Addresses and CIDRs that may call. Without it any may. Never replaces the signature.",
        ),
        optional(
            "tolerance",
            seconds(1, HOUR),
            "How far a signed timestamp may be off, either way. By default what the scheme says, mostly \"5m\".",
        ),
        optional(
            "deadline",
            milliseconds(100, 300_000),
            "For the app's answer. By default a little below the sender's own; \"10s\" for your own schemes.",
        ),
        optional("max_body", Kind::Size { min: 1, max: GIB }, "Largest body. By default `limits.max_body`."),
        key(
            "events",
            Kind::Texts,
            "[]",
            "Event types that are forwarded, `user.*` or `sms.created`; genuine others get 204. Empty: all.",
        ),
        optional(
            "replay",
            Kind::Choice(&["off", "dedupe", "content"]),
            "`dedupe` runs a delivery once, told by its signed id; `content` by all that is signed. By default `dedupe` where the scheme signs an id and the answer does not matter, else `off`.",
        ),
        optional(
            "retry",
            Kind::Table(&RETRY),
            "When a delivery is handed to the app again; always before its deadline.",
        ),
        key(
            "options",
            Kind::TextMap,
            "{}",
            "Options of single providers; `hookward providers NAME` shows which there are.",
        ),
        key(
            "handshake",
            Kind::Bool,
            "false",
            "Answers the requests by which the provider checks the endpoint; the app never sees them.",
        ),
        key(
            "insecure_report",
            Kind::Texts,
            "[]",
            "Checks that only log what they would refuse: `ip`, `timestamp`, `signature`. Such requests are forwarded without `verified-event`.",
        ),
        optional(
            "insecure_on_store_error",
            Kind::Choice(&["forward"]),
            "`forward`: while the replay store is down deliveries pass, and may run twice. By default they get 503.",
        ),
    ],
    exactly_one: &["provider", "scheme"],
};

pub(super) const INLINE_SECRET: &str = "put it into an environment variable or a file and write `env = \"NAME\"` or `file = \"/path\"`; \
    `insecure_value` takes it inline, for tests";

pub(super) static SECRET: Shape = Shape {
    keys: &[
        optional(
            "label",
            Kind::Text,
            "Its name in logs and in `verified-event`. By default `current` for the first, then `secret-2`, `secret-3` …",
        ),
        optional(
            "env",
            Kind::Text,
            "The environment variable that holds it. Exactly one of `env`, `file`, `insecure_value`.",
        ),
        optional(
            "file",
            Kind::Text,
            "The file that holds it; a relative path starts in the working directory. One newline at its end is dropped.",
        ),
        optional("insecure_value", Kind::Text, "The secret itself, for tests: whoever can read this file can sign."),
        key("optional", Kind::Bool, "false", "Whether it may be missing, as long as another secret is there."),
        Key { name: "value", kind: Kind::Text, default: None, status: Status::Never(INLINE_SECRET), doc: "" },
    ],
    exactly_one: &["env", "file", "insecure_value"],
};

/// Where a single secret comes from: the key of tokens, the store's password.
pub(super) static SOURCE: Shape = Shape {
    keys: &[
        optional(
            "env",
            Kind::Text,
            "The environment variable that holds it. Exactly one of `env`, `file`, `insecure_value`.",
        ),
        optional("file", Kind::Text, "The file that holds it. One newline at its end is dropped."),
        optional("insecure_value", Kind::Text, "The secret itself, for tests: whoever can read this file has it."),
        Key { name: "value", kind: Kind::Text, default: None, status: Status::Never(INLINE_SECRET), doc: "" },
    ],
    exactly_one: &["env", "file", "insecure_value"],
};
