//! See `hookward_fuzz::gate_http2`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::gate_http2::run(data));
