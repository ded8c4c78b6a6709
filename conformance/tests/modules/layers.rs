//! The layers of a crate: a module imports only from the layers below its own, by path.

use crate::source::{Module, after, modules_of, paths};

/// The lower layers of core, from the bottom. Every other module is a flow, at the top: a flow never imports another.
const CORE: &[&str] = &["error", "local", "storage", "repository"];

/// The modules of `object_store_swift`, from the bottom: each is a layer.
const SWIFT: &[&str] = &[
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
    "dialect",
    "client",
    "containers",
    "object",
    "create_only",
    "listing",
    "manifests",
    "deletion",
    "handles",
    "object_deletion",
    "large",
    "reading",
    "writing",
    "copying",
    "signing",
    "store",
    "sweep",
    "hint",
];

/// The names of test modules, which open complete stores.
const TESTS: [&str; 8] =
    ["tests", "real", "real_ceph", "real_costs", "real_large", "scripted", "tls", "live"];

/// The number of a module's layer, counted from the bottom. Modules that aren't in `layers` are at the top.
fn layer(layers: &[&str], module: &str) -> usize {
    layers.iter().position(|layer| *layer == module).unwrap_or(layers.len())
}

/// Returns the imports of a crate from its own layer or one above.
fn violations(name: &str, layers: &[&str]) -> Vec<String> {
    let is_test = |module: &Module| module.iter().any(|part| TESTS.contains(&part.as_str()));
    let modules = modules_of(name).into_iter().filter(|(module, _)| !is_test(module));
    let imports = modules.filter_map(|(module, code)| {
        let own = module.first()?.clone();
        let named =
            after(&code, "crate::").into_iter().flat_map(paths).filter_map(|path| path.into_iter().next());
        let is_wrong = |other: &String| *other != own && layer(layers, other) >= layer(layers, &own);
        let wrong = named.filter(is_wrong).map(|other| format!("{} imports {other}", module.join("::")));
        Some(wrong.collect::<Vec<_>>())
    });
    imports.flatten().collect()
}

#[test]
fn modules_of_core_import_only_from_the_layers_below() {
    let violations = violations("swiftwal/core", CORE);
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn modules_of_the_swift_client_import_only_from_the_layers_below() {
    let modules = modules_of("backends/swift");
    let unknown: Vec<_> = modules
        .keys()
        .filter_map(|module| module.first())
        .filter(|name| !SWIFT.contains(&name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?} have no layer");
    let violations = violations("backends/swift", SWIFT);
    assert!(violations.is_empty(), "{violations:#?}");
}
