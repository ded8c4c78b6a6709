//! The floors of this crate: a module imports only from modules above it in the list, by path, so that there is no
//! circle.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// The modules from the bottom. Each may import those before it.
const FLOORS: &[&str] = &[
    "clock",
    "secret",
    "local_file",
    "private_directory",
    "retry",
    "concurrency",
    "target",
    "config",
    "transport",
    "auth",
    "error",
    "outage",
    "client",
    "containers",
    "object",
    "listing",
    "manifests",
    "deletion",
    "large",
    "reading",
    "writing",
    "copying",
    "store",
    "sweep",
    "hint",
];

/// Files of tests, which open whole stores.
const TESTS: &[&str] = &["tests", "real", "real_large", "scripted", "tls", "live"];

fn is_test(file: &Path) -> bool {
    file.with_extension("").iter().any(|part| TESTS.iter().any(|test| part == *test))
}

/// Every source file below `directory`.
fn sources(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            sources.extend(self::sources(&path)?);
        } else {
            sources.push(path);
        }
    }
    Ok(sources)
}

/// The items directly inside the braces that `text` begins with; all of `text` where it begins with a path.
fn items(text: &str) -> Vec<&str> {
    let Some(inside) = text.strip_prefix('{') else { return vec![text] };
    let (mut items, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                items.push(inside[start..at].trim());
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    items
}

/// What `text` names at the crate's root.
fn named(text: &str) -> BTreeSet<&str> {
    let paths = text.match_indices("crate::").map(|(at, start)| &text[at + start.len()..]);
    let items = paths.flat_map(items).filter(|item| !item.is_empty());
    items.map(|item| item.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(item)).collect()
}

/// The code of a file, without its comments and its unit tests.
fn code(text: &str) -> String {
    let tests = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..tests].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_module_imports_only_from_the_floors_below() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floor = |module: &str| FLOORS.iter().position(|floor| *floor == module);
    let mut wrong = Vec::new();
    for file in sources(&root).unwrap() {
        let place = file.strip_prefix(&root).unwrap().with_extension("");
        let own = place.iter().next().unwrap().to_str().unwrap();
        if own == "lib" || is_test(&place) {
            continue;
        }
        assert!(floor(own).is_some(), "{own} has no floor");
        let text = code(&fs::read_to_string(&file).unwrap());
        for module in named(&text).into_iter().filter(|module| *module != own) {
            if floor(module).is_none_or(|other| Some(other) > floor(own)) {
                wrong.push(format!("{} imports {module}", place.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_begins_with_an_overview() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&root).unwrap().into_iter().filter(|file| !file.ends_with("lib.rs"));
    let bare: Vec<_> = files.filter(|file| !fs::read_to_string(file).unwrap().starts_with("//! ")).collect();
    assert!(bare.is_empty(), "{bare:#?}");
}

#[test]
fn the_modules_in_an_import_are_found() {
    let text = "use crate::{\n    error::{Error, Result},\n    local::clock,\n};\nuse crate::storage::Storage;\ncrate::prune::x()";
    assert_eq!(Vec::from_iter(named(text)), ["error", "local", "prune", "storage"]);
}
