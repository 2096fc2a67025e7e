//! The decisions, pure: bytes and `now` in, a verdict out.
//!
//! Nothing here may be async, do I/O, read a clock, or name tokio or tracing (a test holds that), so that every decision
//! can be tested at its boundary and fuzzed by calling one function.

pub mod address_list;
pub mod client;
pub mod diagnose;
pub mod framing;
pub mod handshake;
pub(crate) mod header_name;
pub(crate) mod header_value;
pub mod ip;
pub mod replay_key;
pub mod signature;
pub mod target;
pub mod window;
