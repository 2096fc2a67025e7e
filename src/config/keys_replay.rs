//! The keys of `[replay]` and of a route's `retry`.
//!
//! Part of the one table of keys (`keys`). Must never hold a rule that looks at two keys: those live in `compile_replay`.

use super::keys::{HOUR, Kind, Shape, key, milliseconds, seconds, shape};

pub(super) static REPLAY: Shape = shape(&[
    key("store", Kind::Text, "\"memory\"", "Where deliveries that ran are remembered: `memory`, for one replica."),
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
