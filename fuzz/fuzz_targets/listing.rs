#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| object_store_swift::fuzz::listing(bytes));
