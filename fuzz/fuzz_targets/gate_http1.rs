//! See `hookward_fuzz::gate_http1`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::gate_http1::run(data));
