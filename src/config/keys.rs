//! The one table of keys: what may be written, of which type, in which bounds, what it is by default, what it means.
//!
//! The walk over the text (`raw`), the defaults, the did-you-mean hints, the JSON Schema and the check of
//! `config.example.toml` all derive from it; a key that is not here does not exist. Must never hold a rule that looks at
//! two keys: those live in `compile*`.

use std::time::Duration;

use super::keys_otlp::OTLP;
use super::keys_replay::REPLAY;
use super::keys_route::ROUTE;
use super::keys_scheme::SCHEME;
use super::keys_token::VERIFIED_EVENT;

/// One key of one table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As it would be typed in TOML; `None`: the key is optional and has no default, or `doc` tells it.
    pub(crate) default: Option<&'static str>,
    pub(crate) status: Status,
    pub(crate) doc: &'static str,
}

/// The type of a key's value.
#[derive(Debug)]
pub(crate) enum Kind {
    Bool,
    Integer {
        min: u64,
        max: u64,
    },
    Size {
        min: u64,
        max: u64,
    },
    Duration {
        min: Duration,
        max: Duration,
    },
    Text,
    Choice(&'static [&'static str]),
    Texts,
    /// A list of whole numbers.
    Integers {
        min: u64,
        max: u64,
    },
    /// One text, or a list of them.
    TextOrTexts,
    /// A list of which each element is one text or a list of them.
    Groups,
    Table(&'static Shape),
    /// A list of tables.
    Tables(&'static Shape),
    /// Tables under names of the user's own choice.
    Named(&'static Shape),
    /// Texts under names that something else knows.
    TextMap,
}

/// The keys of a table.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) keys: &'static [Key],
    /// Exactly one of these has to be written; empty: no such rule.
    pub(crate) exactly_one: &'static [&'static str],
}

impl Shape {
    /// Whether an absent table means the same as an empty one.
    pub(crate) fn stands_alone(&self) -> bool {
        self.exactly_one.is_empty() && self.keys.iter().all(|key| key.status != Status::Required)
    }
}

pub(super) const fn shape(keys: &'static [Key]) -> Shape {
    Shape { keys, exactly_one: &[] }
}

/// What this version does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// It works.
    Works,
    /// It must be there.
    Required,
    /// Known to be tried, never to be had: the text is the hint.
    Never(&'static str),
}

pub(super) const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default: Some(default), status: Status::Works, doc }
}

pub(super) const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, default: None, status: Status::Works, doc }
}

pub(super) const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, default: None, status: Status::Required, doc }
}

pub(super) const fn seconds(min: u64, max: u64) -> Kind {
    Kind::Duration { min: Duration::from_secs(min), max: Duration::from_secs(max) }
}

pub(super) const fn milliseconds(min: u64, max: u64) -> Kind {
    Kind::Duration { min: Duration::from_millis(min), max: Duration::from_millis(max) }
}

pub(super) const HOUR: u64 = 3_600;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

/// The top of the file.
pub(crate) static TOP: Shape = shape(&[
    optional("server", Kind::Table(&SERVER), "Where requests arrive and where they go."),
    optional("app", Kind::Table(&APP), "How the app reads paths."),
    optional("client_ip", Kind::Table(&CLIENT_IP), "Who is believed about the client's address."),
    optional("admin", Kind::Table(&ADMIN), "Listeners for probes and people."),
    optional("limits", Kind::Table(&LIMITS), "Bounds on size, time and number."),
    optional("replay", Kind::Table(&REPLAY), "How deliveries are remembered, so that none runs twice."),
    optional("verified_event", Kind::Table(&VERIFIED_EVENT), "What the app is told about a delivery."),
    optional("ip_lists", Kind::Named(&IP_LIST), "Named lists of addresses that are fetched again and again."),
    optional("telemetry", Kind::Table(&TELEMETRY), "Logs and traces."),
    optional(
        "routes",
        Kind::Named(&ROUTE),
        "The protected paths, each under a name that logs and `verified-event` show.",
    ),
    optional(
        "schemes",
        Kind::Named(&SCHEME),
        "Your own signature schemes, in the vocabulary of the built-in catalogue.",
    ),
]);

static SERVER: Shape = shape(&[
    key("listen", Kind::Text, "\"0.0.0.0:8080\"", "Address and port where requests arrive."),
    key(
        "upstream",
        Kind::Text,
        "\"http://127.0.0.1:3000\"",
        "The app: http://host:port, https://host:port or unix:/path.",
    ),
    key(
        "unmatched",
        Kind::Choice(&["forward", "deny"]),
        "\"forward\"",
        "Requests that no route matches: `forward` streams them to the app unverified, `deny` answers 404.",
    ),
    optional(
        "listener",
        Kind::Tables(&LISTENER),
        "Several listeners, each with its own TLS and PROXY protocol; instead of `listen`, `tls` and `proxy_protocol*`.",
    ),
    optional(
        "public_url",
        Kind::Text,
        "The app's address as senders write it, `https://app.example.com`; needed by schemes that sign the URL.",
    ),
    key(
        "allow_route_removal",
        Kind::Bool,
        "false",
        "Whether a reload may take protection away from a path; otherwise the running plan stays.",
    ),
    PROXY_PROTOCOL,
    PROXY_PROTOCOL_FROM,
    optional("tls", Kind::Table(&TLS), TLS_DOC),
    optional("upstream_tls", Kind::Table(&UPSTREAM_TLS), "TLS to an app at https://."),
]);

const PROXY_PROTOCOL: Key = key(
    "proxy_protocol",
    Kind::Bool,
    "false",
    "PROXY protocol v1 and v2: the peers in `proxy_protocol_from` must send its header, others may not.",
);
const PROXY_PROTOCOL_FROM: Key = key(
    "proxy_protocol_from",
    Kind::Texts,
    "[]",
    "Addresses and CIDRs of the load balancers that send the PROXY header.",
);
const TLS_DOC: &str = "TLS (1.2 and 1.3, HTTP/1.1 and HTTP/2); the files are read again when they change.";

static LISTENER: Shape = shape(&[
    required("listen", Kind::Text, "Address and port where requests arrive."),
    PROXY_PROTOCOL,
    PROXY_PROTOCOL_FROM,
    optional("tls", Kind::Table(&TLS), TLS_DOC),
]);

static TLS: Shape = shape(&[
    required("cert", Kind::Text, "PEM file: the certificate, then those that signed it."),
    required("key", Kind::Text, "PEM file: the certificate's key, unencrypted."),
]);

static UPSTREAM_TLS: Shape = shape(&[
    optional("ca", Kind::Text, "PEM file: the authorities to trust instead of the public ones."),
    optional(
        "server_name",
        Kind::Text,
        "The name that the app's certificate must have. By default the upstream's host.",
    ),
]);

static IP_LIST: Shape = shape(&[
    required(
        "url",
        Kind::Text,
        "Where the list is published: https://. JSON as Svix, Stripe and GitHub publish it, or plain text.",
    ),
    key("refresh", seconds(10, 30 * 24 * HOUR), "\"6h\"", "Time between two fetches."),
    key(
        "select",
        Kind::Texts,
        "[]",
        "The parts of the document that count, by key: regions of Svix, `hooks` of GitHub. Empty: all of it.",
    ),
    optional("cache", Kind::Text, "File that keeps the last good list over a restart."),
    optional("ca", Kind::Text, "PEM file: the authorities to trust instead of the public ones."),
]);

static APP: Shape = shape(&[
    key(
        "framework",
        Kind::Choice(&["nextjs", "none"]),
        "\"nextjs\"",
        "`nextjs` also refuses the spellings that Next.js resolves to a protected route, and removes its internal headers.",
    ),
    key("base_path", Kind::Text, "\"\"", "The app's basePath, `/docs`; route paths are written without it."),
    key("asset_prefix", Kind::Text, "\"\"", "The path of the app's assetPrefix, `/cdn`, if it has one and locales."),
    key("locales", Kind::Texts, "[]", "The app's i18n locales, `en`."),
    key(
        "aliases",
        Kind::Texts,
        "[]",
        "The app's own rewrites that lead to a protected route; requests to them are refused.",
    ),
]);

static CLIENT_IP: Shape = shape(&[
    key(
        "trusted_proxies",
        Kind::Texts,
        "[]",
        "Addresses and CIDRs of the proxies in front (the ingress, not the whole pod network). Empty: the peer is the client.",
    ),
    key(
        "header",
        Kind::Text,
        "\"x-forwarded-for\"",
        "The header in which a trusted proxy names the client: x-forwarded-for, forwarded, or a single-value one such as cf-connecting-ip.",
    ),
]);

static ADMIN: Shape = shape(&[
    optional(
        "health",
        Kind::Text,
        "Address and port of /livez and /readyz. Without it there is no such listener. Readiness never depends on the app.",
    ),
    optional(
        "inspector",
        Kind::Text,
        "Address and port of a page for people: recent webhooks, and why each was refused. Without it there is no such listener.",
    ),
    key(
        "insecure_inspector_public",
        Kind::Bool,
        "false",
        "Lets the inspector listen on other addresses than loopback. It has no password.",
    ),
]);

static LIMITS: Shape = shape(&[
    key("max_body", Kind::Size { min: 1, max: GIB }, "\"1MiB\"", "Largest webhook body; also per route."),
    key(
        "buffered_bytes",
        Kind::Size { min: 64 * KIB, max: 64 * GIB },
        "\"64MiB\"",
        "All webhook bodies that are being verified, together. Passed-through bodies are never buffered.",
    ),
    key(
        "max_connections",
        Kind::Integer { min: 1, max: 1_000_000 },
        "4096",
        "Open client connections; one in eight is for deliveries.",
    ),
    key("max_headers", Kind::Integer { min: 8, max: 1_000 }, "100", "Header lines of one request."),
    key("max_head", Kind::Size { min: 8 * KIB, max: MIB }, "\"16KiB\"", "Request line and headers of one request."),
    key("head_timeout", milliseconds(100, 600_000), "\"10s\"", "From a head's first byte to its last."),
    key(
        "body_timeout",
        milliseconds(100, 600_000),
        "\"10s\"",
        "For a webhook's whole body, and between two reads of a passed one.",
    ),
    key("idle_timeout", seconds(1, HOUR), "\"75s\"", "Between two requests of a connection."),
    key("connect_timeout", milliseconds(10, 60_000), "\"2s\"", "To connect to the app."),
    key(
        "upstream_max",
        seconds(1, HOUR),
        "\"2m\"",
        "The longest a delivery may run in the app after its sender has left or its deadline has passed.",
    ),
    key("upgrade_timeout", milliseconds(100, 600_000), "\"10s\"", "For the app's answer to a WebSocket upgrade."),
    key("drain", seconds(0, HOUR), "\"25s\"", "For requests in flight at shutdown."),
]);

static TELEMETRY: Shape = shape(&[
    key("log", Kind::Choice(&["json", "text"]), "\"json\"", "Format of log lines."),
    optional(
        "otlp",
        Kind::Table(&OTLP),
        "A span for each webhook, sent to an OpenTelemetry collector. Only in a build with the cargo feature `otlp`.",
    ),
]);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every key with its full path; `*` stands for a name of the user's own.
    pub(crate) fn all() -> Vec<(String, &'static Key)> {
        fn walk(prefix: &str, shape: &'static Shape, all: &mut Vec<(String, &'static Key)>) {
            for key in shape.keys {
                let path = if prefix.is_empty() { key.name.to_owned() } else { format!("{prefix}.{}", key.name) };
                match key.kind {
                    Kind::Table(shape) | Kind::Tables(shape) => walk(&path, shape, all),
                    Kind::Named(shape) => walk(&format!("{path}.*"), shape, all),
                    _ => {}
                }
                all.push((path, key));
            }
        }
        let mut list = Vec::new();
        walk("", &TOP, &mut list);
        list
    }

    #[test]
    fn every_key_is_documented_once_and_named_in_lower_case() {
        for (path, key) in all() {
            let never = matches!(key.status, Status::Never(_));
            assert!(never || key.doc.ends_with('.') || key.doc.ends_with('…'), "{path}");
            assert!(key.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{path}");
        }
        let mut paths: Vec<String> = all().into_iter().map(|(path, _)| path).collect();
        let count = paths.len();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }
}
