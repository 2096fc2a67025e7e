//! See `hookward_fuzz::target`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::target::run(data));
