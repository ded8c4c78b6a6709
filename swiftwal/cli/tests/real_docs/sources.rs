//! The files that the pages for developers name exist.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

const PAGES: [(&str, &str); 2] = [
    ("docs/architecture.md", include_str!("../../../../docs/architecture.md")),
    ("CONTRIBUTING.md", include_str!("../../../../CONTRIBUTING.md")),
];

/// The directories with sources and docs.
const PLACES: [&str; 5] = ["backends", "compression", "conformance", "docs", "swiftwal"];

/// Finds everything below `directory` except build results.
fn below(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            below(&path, found)?;
        }
        found.push(path);
    }
    Ok(())
}

/// Returns the paths in a page's code spans, without those of a data directory or a repository.
fn named(page: &str) -> BTreeSet<&str> {
    let spans = page.split('`').skip(1).step_by(2);
    let is_below = |span: &&str| PLACES.iter().any(|place| span.starts_with(&format!("{place}/")));
    spans.filter(|span| !span.contains(' ') && (span.ends_with(".rs") || is_below(span))).collect()
}

#[test]
fn files_that_the_pages_for_engineers_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for place in PLACES {
        below(&root.join(place), &mut files).unwrap();
    }
    for (page, text) in PAGES {
        assert!(named(text).len() > 1, "{page} names nothing");
        let is_there = |name: &str| files.iter().any(|file| file.ends_with(name));
        let missing: Vec<_> = named(text).into_iter().filter(|name| !is_there(name)).collect();
        assert!(missing.is_empty(), "{page} names {missing:?}");
    }
}
