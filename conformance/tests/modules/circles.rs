//! The modules of a crate don't import each other in circles: of two neighbours, at least one can be read, moved and
//! tested without the other.
//!
//! Neighbours are modules with the same parent. What a module takes from its parent counts as taken from the neighbour
//! that the parent re-exports it from; items that the parent itself defines aren't examined.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Module, after, modules_of, paths};

/// The crates that are examined. `object_store_swift` has no circles since its modules are ordered; see `layers`.
const CRATES: [&str; 4] = ["compression", "swiftwal/cli", "swiftwal/core", "swiftwal/postgres"];

/// The neighbours that each module imports.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// Returns the absolute paths that the code of `module` names.
fn named(module: &Module, code: &str) -> Vec<Module> {
    let absolute = after(code, "crate::").into_iter().flat_map(paths);
    let parent = &module[..module.len().saturating_sub(1)];
    let relative = after(code, "super::").into_iter().flat_map(paths).map(|path| {
        let up = path.iter().take_while(|name| *name == "super").count();
        [&parent[..parent.len().saturating_sub(up)], &path[up..]].concat()
    });
    absolute.chain(relative).collect()
}

/// Returns, for each name that a module re-exports, the module below it that the name comes from.
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

/// Returns the deepest module on `path`.
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

/// Returns the neighbours that each module imports, itself or in a module below it.
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

/// Returns everything that `module` imports, directly or indirectly.
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

/// Returns the imports that are part of a circle.
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
    let found = CRATES.map(|name| (name, circles(&modules_of(name))));
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
