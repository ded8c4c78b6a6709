#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| swiftwal_core::fuzz::commit_record(bytes));
