//! Every module begins with an overview.

use std::fs;

use crate::source::{source_directory, sources};

/// The crates that are examined: all of them.
const CRATES: [&str; 9] = [
    "backends",
    "backends/swift",
    "compression",
    "conformance",
    "conformance/mutation",
    "conformance/xtask",
    "swiftwal/cli",
    "swiftwal/core",
    "swiftwal/postgres",
];

#[test]
fn every_module_begins_with_an_overview() {
    let files = CRATES.iter().flat_map(|name| sources(&source_directory(name)).unwrap());
    let modules = files.filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    let has_overview = |text: &str| text.starts_with("//! ") || text.starts_with("#![doc = ");
    let bare: Vec<_> = modules.filter(|file| !has_overview(&fs::read_to_string(file).unwrap())).collect();
    assert!(bare.is_empty(), "{bare:#?}");
}
