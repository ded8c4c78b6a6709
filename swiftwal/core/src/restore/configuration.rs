//! Looks whether the configuration that a restored server will read is there.
//!
//! A base backup holds the data directory and nothing else. Files that the server had elsewhere (Debian keeps
//! `postgresql.conf` and `pg_hba.conf` in `/etc/postgresql`), or that the server left out since they are links, are missing
//! after a restore, and PostgreSQL doesn't start. Better said at once than found out in its log.

use std::path::Path;

use swiftwal_postgres::printable;

use super::root::{Root, path_of};

/// The largest configuration file that is looked into.
const MOST_BYTES: u64 = 1 << 20;
/// As deep as PostgreSQL follows includes.
const MOST_DEPTH: usize = 10;

/// What of its configuration isn't there, a sentence for each file.
pub(super) fn missing_files(root: &Root) -> Vec<String> {
    let mut search = Search { root: root.clone(), missing: Vec::new(), has_hba_file: false };
    if search.root.read(b"postgresql.conf", MOST_BYTES).is_none() && !search.is_there(b"postgresql.conf") {
        let reason = "the original server kept it elsewhere, as Debian does in /etc/postgresql";
        return vec![search.sentence(b"postgresql.conf", reason)];
    }
    search.look_into(b"postgresql.conf", 0);
    search.look_into(b"postgresql.auto.conf", 0);
    if !search.has_hba_file && !search.is_there(b"pg_hba.conf") {
        let sentence = search.sentence(b"pg_hba.conf", "it is not in the backup");
        search.missing.push(sentence);
    }
    search.missing
}

struct Search {
    root: Root,
    missing: Vec<String>,
    /// Whether the configuration names another file than `pg_hba.conf`.
    has_hba_file: bool,
}

impl Search {
    fn look_into(&mut self, file: &[u8], depth: usize) {
        if depth > MOST_DEPTH {
            return;
        }
        let Some(text) = self.root.read(file, MOST_BYTES) else { return };
        for line in text.split(|byte| *byte == b'\n') {
            let Some((name, value)) = setting(line) else { continue };
            if value.is_empty() {
                continue;
            }
            match name.to_ascii_lowercase().as_slice() {
                b"include" => {
                    // Relative to the file that includes it.
                    let included = beside(file, &value);
                    self.demand(&included, &format!("{} includes it", printable(file)));
                    self.look_into(&included, depth + 1);
                }
                b"include_dir" => {
                    self.demand(&beside(file, &value), &format!("{} includes it", printable(file)));
                }
                b"hba_file" => {
                    self.has_hba_file = true;
                    self.demand(&value, &format!("{} names it as hba_file", printable(file)));
                }
                b"ident_file" => self.demand(&value, &format!("{} names it as ident_file", printable(file))),
                _ => {}
            }
        }
    }

    fn demand(&mut self, file: &[u8], reason: &str) {
        if !self.is_there(file) {
            let sentence = self.sentence(file, reason);
            if !self.missing.contains(&sentence) {
                self.missing.push(sentence);
            }
        }
    }

    fn is_there(&self, file: &[u8]) -> bool {
        self.root.path().join(path_of(file)).exists()
    }

    fn sentence(&self, file: &[u8], reason: &str) -> String {
        let path = Path::new(path_of(file));
        let place =
            if path.is_absolute() { String::new() } else { format!("{}/", self.root.path().display()) };
        format!(
            "{place}{} doesn't exist ({reason}); put it there before you start PostgreSQL",
            printable(file)
        )
    }
}

/// The file `name` that `file` names: beside it, unless it is an absolute path.
fn beside(file: &[u8], name: &[u8]) -> Vec<u8> {
    match file.iter().rposition(|byte| *byte == b'/') {
        Some(slash) if !name.starts_with(b"/") => [&file[..=slash], name].concat(),
        _ => name.to_owned(),
    }
}

/// The name and the value of a line such as `hba_file = '/etc/pg_hba.conf'  # comment`; none for any other line.
fn setting(line: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let line = line.trim_ascii_start();
    let name_end = line.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')?;
    let (name, rest) = line.split_at(name_end);
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"=").unwrap_or(rest).trim_ascii_start();
    (!name.is_empty()).then(|| (name, value(rest)))
}

fn value(text: &[u8]) -> Vec<u8> {
    let Some(quoted) = text.strip_prefix(b"'") else {
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'#';
        return text[..text.iter().position(is_end).unwrap_or(text.len())].to_owned();
    };
    let (mut value, mut bytes) = (Vec::new(), quoted.iter().copied().peekable());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\'' if bytes.peek() == Some(&b'\'') => value.extend(bytes.next()),
            b'\'' => break,
            b'\\' => value.extend(bytes.next()),
            byte => value.push(byte),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(files: &[(&str, &str)]) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let place = format!("{}/", directory.path().display());
        let root = Root::open(directory.path(), None).unwrap();
        missing_files(&root).iter().map(|line| line.replace(&place, "")).collect()
    }

    #[test]
    fn a_complete_configuration_lacks_nothing() {
        let conf = "port = 5432\n#include 'gone.conf'\ninclude_if_exists = 'gone.conf'\ninclude 'more/a.conf'\n\
                    include_dir='conf.d'\nident_file = ''\n";
        let files = [
            ("postgresql.conf", conf),
            ("more/a.conf", "include b.conf # beside this one\n"),
            ("more/b.conf", "INCLUDE = '../postgresql.conf'\n"),
            ("conf.d/x.conf", ""),
            ("pg_hba.conf", ""),
        ];
        assert_eq!(missing(&files), [""; 0]);
    }

    #[test]
    fn each_file_that_the_server_would_miss_is_named() {
        let named = |files: &[(&str, &str)]| {
            let names = |line: String| line.split(" doesn't").next().map(str::to_owned);
            missing(files).into_iter().filter_map(names).collect::<Vec<_>>()
        };
        assert_eq!(named(&[("postgresql.conf", "")]), ["pg_hba.conf"]);
        assert_eq!(named(&[("pg_hba.conf", "")]), ["postgresql.conf"]);
        let conf = "include 'a.conf'\ninclude_dir 'conf.d'\nhba_file = '/absent/it''s \\\\here'\n";
        let files = [("postgresql.conf", conf), ("postgresql.auto.conf", "ident_file = 'x\x1b'\n")];
        assert_eq!(named(&files), ["a.conf", "conf.d", r"/absent/it's \here", r"x\x1b"]);
    }
}
