//! The real server on port 0, raw sockets before it, a recording app behind it.
//!
//! A refused request is proven not to have reached the app: every test that refuses asserts on what the app recorded.
#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::large_futures,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests: a failed unwrap is a failed test, and the sender has a clock of its own"
)]

mod harness;
mod runs;
mod script;
mod sender;

mod access_line;
mod attacks;
mod away;
mod bad_body;
mod bad_framing;
mod bad_headers;
mod bad_target;
mod client_address;
mod correlation;
mod explain;
mod forged;
mod handshakes;
mod http2;
mod http2_frames;
mod inspector;
mod ip_lists;
mod keep_alive;
mod leaving;
mod limits;
mod metrics;
mod pass;
mod providers;
mod reload;
mod replay;
mod report;
mod reserved;
mod rest;
mod retry;
mod send;
mod shutdown;
mod sign;
mod tls;
mod token;
mod upgrade;
mod upstream_faults;
