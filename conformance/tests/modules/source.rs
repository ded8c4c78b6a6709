//! Reads the source of the workspace's crates: files, modules, and the paths in their imports.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The path of a module from the crate's root, which is the empty path.
pub(crate) type Module = Vec<String>;

/// The directory with the source of a crate, which is named by its directory.
pub(crate) fn source_directory(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    workspace.join(name).join("src")
}

/// Returns every file below `directory`.
pub(crate) fn sources(directory: &Path) -> io::Result<Vec<PathBuf>> {
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

/// Returns the code of each module of a crate, without comments and unit tests.
pub(crate) fn modules_of(name: &str) -> BTreeMap<Module, String> {
    let root = &source_directory(name);
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

/// Returns the paths of a use tree such as `a::{b, c::{d, e}}`, up to where it ends.
pub(crate) fn paths(tree: &str) -> Vec<Module> {
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

/// Returns what follows each `keyword::` in `code`.
pub(crate) fn after<'a>(code: &'a str, keyword: &str) -> Vec<&'a str> {
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    let found = code.match_indices(keyword).filter(|(at, _)| begins(*at));
    found.map(|(at, _)| &code[at + keyword.len()..]).collect()
}
