//! The modules of a crate import each other in no circle: of two neighbours, at least one can be read, moved and tested
//! without the other.
//!
//! Neighbours are modules with the same parent. What a module takes from its parent counts as taken from the neighbour
//! that the parent re-exports it from; what the parent itself defines isn't looked at.

#![expect(clippy::unwrap_used, reason = "the tests' helpers fail as tests do")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// The crates that are looked at.
const CRATES: [&str; 4] = ["compression", "swiftwal/cli", "swiftwal/core", "swiftwal/postgres"];

/// A module's path from the crate's root, which is the empty one.
type Module = Vec<String>;

/// Which neighbours a module imports.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

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

/// The code of each module below `root`, without comments and unit tests.
fn modules(root: &Path) -> BTreeMap<Module, String> {
    let files = sources(root).unwrap().into_iter().filter(|file| !file.ends_with("main.rs"));
    let module = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
        let place = file.strip_prefix(root).unwrap().with_extension("");
        let names: Module = place.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        (if names == ["lib"] { Module::new() } else { names }, code)
    };
    files.map(module).collect()
}

/// The paths of a use tree such as `a::{b, c::{d, e}}`, up to where it ends.
fn paths(tree: &str) -> Vec<Module> {
    let mut paths = Vec::new();
    let (mut stack, mut path, mut name) = (Vec::new(), Module::new(), String::new());
    for character in tree.chars() {
        match character {
            ':' if !name.is_empty() => path.push(std::mem::take(&mut name)),
            ':' => {}
            '{' => stack.push(path.len()),
            ',' | '}' => {
                if !name.is_empty() {
                    path.push(std::mem::take(&mut name));
                    paths.push(path.clone());
                }
                let Some(depth) = stack.last() else { break };
                path.truncate(*depth);
                if character == '}' {
                    stack.pop();
                    if stack.is_empty() {
                        return paths;
                    }
                }
            }
            _ if character.is_alphanumeric() || character == '_' => name.push(character),
            ' ' if name.is_empty() || !stack.is_empty() => {}
            _ => break,
        }
    }
    path.extend(Some(name).filter(|name| !name.is_empty()));
    if stack.is_empty() {
        paths.push(path);
    }
    paths
}

/// What follows each `keyword::` in `code`.
fn after<'a>(code: &'a str, keyword: &str) -> Vec<&'a str> {
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    let found = code.match_indices(keyword).filter(|(at, _)| begins(*at));
    found.map(|(at, _)| &code[at + keyword.len()..]).collect()
}

/// The absolute paths that the code of `module` names.
fn named(module: &Module, code: &str) -> Vec<Module> {
    let absolute = after(code, "crate::").into_iter().flat_map(paths);
    let parent = &module[..module.len().saturating_sub(1)];
    let relative = after(code, "super::").into_iter().flat_map(paths).map(|path| {
        let up = path.iter().take_while(|name| *name == "super").count();
        [&parent[..parent.len().saturating_sub(up)], &path[up..]].concat()
    });
    absolute.chain(relative).collect()
}

/// From which module below it each module re-exports a name.
fn exports(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, Module> {
    let mut exports = BTreeMap::new();
    for (module, code) in modules {
        for path in code.split("pub").flat_map(|code| after(code.split(';').next().unwrap_or(""), "use ")) {
            for path in paths(path.trim_start_matches("self::")) {
                let source = [&module[..], &path[..path.len().saturating_sub(1)]].concat();
                let name = path.last().cloned();
                exports.insert(module.iter().cloned().chain(name).collect(), source);
            }
        }
    }
    exports
}

/// The deepest module that `path` leads into.
fn home(path: &Module, modules: &BTreeMap<Module, String>, exports: &BTreeMap<Module, Module>) -> Module {
    let mut home = Module::new();
    for name in path {
        home.push(name.clone());
        if let Some(source) = exports.get(&home) {
            home.clone_from(source);
        } else if !modules.contains_key(&home) {
            home.pop();
            break;
        }
    }
    home
}

/// Which neighbour each module imports, itself or by a module below it.
fn imports(modules: &BTreeMap<Module, String>) -> Imports {
    let exports = exports(modules);
    let mut imports = Imports::new();
    for (module, code) in modules {
        for path in named(module, code) {
            let home = home(&path, modules, &exports);
            let shared = module.iter().zip(&home).take_while(|(a, b)| a == b).count();
            if shared < module.len() && shared < home.len() {
                imports.entry(module[..=shared].to_vec()).or_default().insert(home[..=shared].to_vec());
            }
        }
    }
    imports
}

/// Everything that `module` imports, and that imports in turn.
fn reached<'a>(module: &Module, imports: &'a Imports) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<_> = imports.get(module).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(imports.get(next).into_iter().flatten());
        }
    }
    reached
}

/// The imports that are part of a circle.
fn circles(modules: &BTreeMap<Module, String>) -> Vec<String> {
    let imports = imports(modules);
    let mut circles = Vec::new();
    for (from, to) in imports.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
        if reached(to, &imports).contains(from) {
            circles.push(format!("{} imports {}", from.join("::"), to.join("::")));
        }
    }
    circles
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let found = CRATES.map(|name| (name, circles(&modules(&workspace.join(name).join("src")))));
    let circles: Vec<_> = found.iter().filter(|(_, circles)| !circles.is_empty()).collect();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn circles_are_found_through_braces_parents_and_re_exports() {
    let module =
        |path: &str, code: &str| (path.split("::").map(str::to_owned).collect::<Module>(), code.to_owned());
    let circles =
        |code: [(&str, &str); 4]| circles(&code.into_iter().map(|(path, code)| module(path, code)).collect());
    let shop = ("shop", "mod till; mod stock; pub use self::{stock::Stock, till::Till};");
    assert_eq!(
        circles([
            shop,
            ("shop::till", "use super::Stock; use crate::street::Street;"),
            ("shop::stock", "fn x() { super::till::ring() }"),
            ("street", ""),
        ]),
        ["shop::stock imports shop::till", "shop::till imports shop::stock"]
    );
    assert_eq!(
        circles([
            shop,
            ("shop::till", "use crate::{ street::{Side, Street}, clock::Clock };"),
            ("shop::stock", ""),
            ("street", "use crate::shop::Till;"),
        ]),
        ["shop imports street", "street imports shop"]
    );
    assert!(
        circles([shop, ("shop::till", "use super::Stock;"), ("shop::stock", ""), ("street", "")]).is_empty()
    );
}
