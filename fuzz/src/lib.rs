//! The properties that `fuzz_targets/` hold hookward to, one module each; README.md lists them.
//!
//! What is expected is computed here on its own, from the specifications and from what the design says, so that a mistake of
//! hookward's is not made twice. Must never ask hookward's own code what is right.

pub mod capture;
pub mod config;
pub mod explain;
pub mod forwarded;
pub mod gate;
pub mod gate_http1;
pub mod gate_http2;
pub mod http1;
pub mod ip_list;
pub mod paths;
pub mod proxy_header;
pub mod signature;
pub mod target;
