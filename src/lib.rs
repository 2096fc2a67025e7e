//! hookward stands in front of an application and lets a webhook through only when it is proven genuine.
//!
//! # One request's life
//! The socket's bytes pass a strict framing guard ([`check::framing`], `wire`) before hyper parses them. The `gate` then
//! asks, in this order and cheapest first: is the target canonical and which route is it ([`check::target`]); may this
//! method and this client call ([`check::client`], [`check::ip`]); are the signature headers there and is the time right
//! ([`check::signature`], [`check::window`]). Only then the body is read, within a budget, and its MAC checked. Out of that
//! comes the one value that opens the way to the application: [`check::signature::Verified`], from which an `Admitted` is
//! made, which is all that `forward` takes. Traffic that no route protects streams through.
//!
//! # Modules
//! A module imports only those of a lower level; `tests/layout.rs` holds that.
//!
//! | level | modules |
//! |---|---|
//! | 0 | `reject`, `civil`, `clock`, `secret`, `hex`, `quiet`, `read_width`, `backlog`, `attention` |
//! | 1 | `check` (pure: no async, I/O, clock), `providers` (the catalogue, data), `token` (the signed proof), `redis_place` |
//! | 2 | `plan` (the compiled configuration) |
//! | 3 | `config`, `telemetry`, `headers`, `budget`, `in_flight`, `gather`, `wire`, `verified_event`, `outbound`, `admit`, `app_socket`, `https`, `capture`, `live`, `client_socket`, `proxy_protocol`, `descriptors`, `replay` |
//! | 4 | `documents`, `hint`, `onward`, `http2`, `receive`, `websocket`, `forward`, `deliver`, `inbound`, `answer`, `handshake`, `refusal`, `report`, `head_checks`, `ip_lists`, `crowd`, `correlate`, `collector` |
//! | 5 | `gate`, `explain` (the gate's checks on a captured request) |
//! | 6 | `connection`, `admin`, `inspector`, `reload`, `server` |
//! | 7 | `cli` |
//! | 8 | `fuzzing` (what `fuzz/` calls; not part of any other build) |

mod admin;
mod admit;
mod answer;
mod app_socket;
mod attention;
mod backlog;
pub mod budget;
pub mod capture;
pub mod check;
pub mod civil;
pub mod cli;
mod client_socket;
pub mod clock;
#[cfg(feature = "otlp")]
mod collector;
pub mod config;
mod connection;
mod correlate;
mod crowd;
mod deliver;
mod descriptors;
mod documents;
mod explain;
mod forward;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod gather;
mod handshake;
mod head_checks;
mod headers;
mod hex;
mod hint;
mod http2;
mod https;
pub mod in_flight;
mod inbound;
mod inspector;
pub mod ip_lists;
pub mod live;
mod onward;
mod outbound;
pub mod plan;
pub mod providers;
mod proxy_protocol;
mod quiet;
mod read_width;
mod receive;
pub mod redis_place;
mod refusal;
pub mod reject;
pub mod reload;
pub mod replay;
mod report;
pub mod secret;
pub mod server;
pub mod telemetry;
pub mod token;
mod verified_event;
mod websocket;
mod wire;
