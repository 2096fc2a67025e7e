//! The keys of `[replay]` and of a route's `retry`.
//!
//! Part of the one table of keys (`keys`). Must never hold a rule that looks at two keys: those live in `compile_replay`.

use super::keys::{HOUR, Kind, Shape, key, milliseconds, optional, seconds, shape};
use super::keys_route::SOURCE;

pub(super) static REPLAY: Shape = shape(&[
    key(
        "store",
        Kind::Text,
        "\"memory\"",
        "Where deliveries that ran are remembered: `memory`, for one replica, or Redis or Valkey, `redis://host:6379/0`, with TLS `rediss://`, or `unix:/path`.",
    ),
    optional("username", Kind::Text, "Of the store's ACL; without it the password is that of its default user."),
    optional("password", Kind::Table(&SOURCE), "The store's password; never in the address."),
    optional("ca", Kind::Text, "PEM file: the authorities to trust instead of the public ones, for `rediss://`."),
    key(
        "namespace",
        Kind::Text,
        "\"hookward\"",
        "What every key in the store begins with: one for each app that shares it.",
    ),
    key(
        "ttl",
        seconds(1, 30 * 24 * HOUR),
        "\"30h\"",
        "How long a delivery is remembered after it ran; longer than its sender tries again.",
    ),
    key(
        "max_entries",
        Kind::Integer { min: 1_000, max: 100_000_000 },
        "1_000_000",
        "How many are remembered in memory, at about 70 bytes each.",
    ),
    key(
        "lease",
        seconds(1, 600),
        "\"10s\"",
        "How long nothing runs after a run whose end nobody knows: the app, or hookward, died in it.",
    ),
    key(
        "wait",
        milliseconds(0, 300_000),
        "\"5s\"",
        "How long a duplicate waits for the one that runs, before it gets 409.",
    ),
]);

pub(super) static RETRY: Shape = shape(&[
    key(
        "attempts",
        Kind::Integer { min: 1, max: 10 },
        "3",
        "How often a delivery may be handed to the app; 1: once, and connecting is not tried again either.",
    ),
    key(
        "within",
        milliseconds(0, 300_000),
        "\"5s\"",
        "From the delivery's arrival on; a connection that the app refuses is tried again until then.",
    ),
    key(
        "on_status",
        Kind::Integers { min: 400, max: 599 },
        "[]",
        "Answers after which it is handed over again. Connections that fail and requests that were never written always are.",
    ),
]);
