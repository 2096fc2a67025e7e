//! See `hookward_fuzz::ip_list`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::ip_list::run(data));
