//! The floors of this crate: a module imports only from floors below its own, by path, and a flow never imports
//! another flow.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// The floors from the bottom. Every other module is a flow, at the top.
const FLOORS: [&str; 4] = ["error", "local", "storage", "repository"];

fn floor(module: &str) -> usize {
    FLOORS.iter().position(|floor| *floor == module).unwrap_or(FLOORS.len())
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

#[test]
fn every_module_imports_only_from_the_floors_below() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in sources(&root).unwrap().into_iter().filter(|file| !file.ends_with("lib.rs")) {
        let place = file.strip_prefix(&root).unwrap().with_extension("");
        let own = place.iter().next().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for module in named(&code.join("\n")) {
            if module != own && floor(module) >= floor(own) {
                wrong.push(format!("{} imports {module}", place.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_modules_in_an_import_are_found() {
    let text = "use crate::{\n    error::{Error, Result},\n    local::clock,\n};\nuse crate::storage::Storage;\ncrate::prune::x()";
    assert_eq!(Vec::from_iter(named(text)), ["error", "local", "prune", "storage"]);
}
