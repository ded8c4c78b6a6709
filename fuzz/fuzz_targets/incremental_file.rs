#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| swiftwal_postgres::fuzz::incremental_file(bytes));
