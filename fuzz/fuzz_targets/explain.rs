//! See `hookward_fuzz::explain`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::explain::run(data));
