//! No error of core is put into another text with its `Display`, which omits its causes and its hint.

use crate::source::modules_of;

/// The ways to put an error into a text other than `in_full`.
const WAYS: [&str; 5] = ["{error}", "{refusal}", "{e}", "error.to_string()", "(e.to_string()"];

/// The errors of other crates, which have no hint: the module, and their number.
const FOREIGN: [(&str, usize); 5] = [
    ("repository::wal_file", 1),
    ("restore::claim", 2),
    ("restore::extract::file_writer", 1),
    ("verify::file", 3),
    ("verify::wal", 1),
];

#[test]
fn an_error_inside_another_text_keeps_its_causes_and_hint() {
    for (module, code) in modules_of("swiftwal/core") {
        let module = module.join("::");
        if module == "fuzz" || module.ends_with("::tests") {
            continue;
        }
        let shown: usize = WAYS.iter().map(|way| code.matches(way).count()).sum();
        let allowed = FOREIGN.iter().find(|(foreign, _)| *foreign == module).map_or(0, |(_, count)| *count);
        assert_eq!(shown, allowed, "{module}: use in_full() for an error of this crate");
    }
}
