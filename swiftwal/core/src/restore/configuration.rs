//! Checks that the configuration files that a restored server will read exist.
//!
//! A base backup contains only the data directory. Files that the server had elsewhere (Debian keeps `postgresql.conf`
//! and `pg_hba.conf` in `/etc/postgresql`), or that it left out because they are links, are missing after a restore,
//! and PostgreSQL doesn't start. It is better to report that at once.

use std::{collections::BTreeMap, path::Path};

use swiftwal_postgres::printable;

use super::{member_name::path_of, root::Root};

/// The largest configuration file that is examined.
const MOST_BYTES: u64 = 1 << 20;
/// How many files are examined: they may include each other in a circle.
const MOST_FILES: usize = 100;

/// Returns a sentence for each missing configuration file.
pub(super) fn missing_files(root: &Root) -> Vec<String> {
    let mut search = Search { root: root.clone(), missing: Vec::new(), settings: BTreeMap::new(), files: 0 };
    if !search.is_there(b"postgresql.conf") {
        let reason = "the original server kept it elsewhere, as Debian does in /etc/postgresql";
        return vec![search.sentence(b"postgresql.conf", reason)];
    }
    search.look_into(b"postgresql.conf");
    search.look_into(b"postgresql.auto.conf");
    search.demand_what_is_set();
    search.missing
}

struct Search {
    root: Root,
    missing: Vec<String>,
    /// The last value of each setting, with the file that contains it.
    settings: BTreeMap<Vec<u8>, (Vec<u8>, Vec<u8>)>,
    files: usize,
}

impl Search {
    fn look_into(&mut self, file: &[u8]) {
        self.files += 1;
        if self.files > MOST_FILES {
            return;
        }
        let Some(text) = self.root.read(file, MOST_BYTES) else { return };
        for line in text.split(|byte| *byte == b'\n') {
            let Some((name, value)) = setting(line) else { continue };
            let name = name.to_ascii_lowercase();
            match name.as_slice() {
                b"include" | b"include_dir" if !value.is_empty() => {
                    let included = beside(file, &value);
                    self.demand(&included, &format!("{} includes it", printable(file)));
                    if name == b"include" {
                        self.look_into(&included);
                    }
                }
                _ => drop(self.settings.insert(name, (value, file.to_owned()))),
            }
        }
    }

    /// Checks the files that settings name, without which PostgreSQL doesn't start.
    fn demand_what_is_set(&mut self) {
        self.demand_named("hba_file", Some("pg_hba.conf"));
        self.demand_named("ident_file", None);
        let is_on =
            |value: &[u8]| matches!(value.to_ascii_lowercase().as_slice(), b"on" | b"true" | b"yes" | b"1");
        if self.settings.get(&b"ssl"[..]).is_some_and(|(value, _)| is_on(value)) {
            self.demand_named("ssl_cert_file", Some("server.crt"));
            self.demand_named("ssl_key_file", Some("server.key"));
            self.demand_named("ssl_ca_file", None);
        }
        if let Some((place, file)) = self.settings.get(&b"data_directory"[..])
            && !place.is_empty()
            && !is_same(path_of(place), self.root.path())
        {
            self.missing.push(format!(
                "{} sets data_directory to {}: PostgreSQL would start there instead of {}; remove that line first",
                printable(file),
                printable(place),
                self.root.path().display()
            ));
        }
    }

    /// Checks the file that the setting `name` names, or else its `default`.
    fn demand_named(&mut self, name: &str, default: Option<&str>) {
        match (self.settings.get(name.as_bytes()).cloned(), default) {
            (Some((value, file)), _) if !value.is_empty() => {
                self.demand(&value, &format!("{} names it as {name}", printable(&file)));
            }
            (_, Some(default)) => self.demand(default.as_bytes(), "it is not in the backup"),
            _ => {}
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
        let place =
            if file.starts_with(b"/") { String::new() } else { format!("{}/", self.root.path().display()) };
        format!(
            "{place}{} doesn't exist ({reason}); put it there before you start PostgreSQL",
            printable(file)
        )
    }
}

/// Whether both paths lead to one directory.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

/// Returns the path of the file `name` that `file` names: beside it, unless the path is absolute.
fn beside(file: &[u8], name: &[u8]) -> Vec<u8> {
    match file.iter().rposition(|byte| *byte == b'/') {
        Some(slash) if !name.starts_with(b"/") => [&file[..=slash], name].concat(),
        _ => name.to_owned(),
    }
}

/// Parses the name and the value in a line such as `hba_file = '/etc/pg_hba.conf'  # comment`; none for any other line.
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
        let conf = "hba_file = 'gone'\nhba_file = 'b'\nssl = off\nssl=ON\nssl_key_file '/absent/key'\n";
        assert_eq!(named(&[("postgresql.conf", conf), ("b", "")]), ["server.crt", "/absent/key"]);
    }

    #[test]
    fn files_that_include_each_other_end() {
        let conf = "include 'postgresql.conf'\n".repeat(1000);
        assert_eq!(missing(&[("postgresql.conf", &conf), ("pg_hba.conf", "")]), [""; 0]);
    }

    #[test]
    fn the_restored_directory_is_no_other_whatever_path_leads_there() {
        let directory = tempfile::tempdir().unwrap();
        let (data, alias) = (directory.path().join("data"), directory.path().join("alias"));
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, &alias).unwrap();
        std::fs::write(data.join("postgresql.conf"), format!("data_directory = '{}'\n", data.display()))
            .unwrap();
        std::fs::write(data.join("pg_hba.conf"), "").unwrap();
        for path in [alias, data.join("../data")] {
            assert_eq!(missing_files(&Root::open(&path, None).unwrap()), [""; 0]);
        }
    }

    #[test]
    fn settings_that_lead_to_another_data_directory_are_told() {
        let conf = "data_directory = '/var/lib/postgresql/15/main'\n";
        let message = missing(&[("postgresql.conf", conf), ("pg_hba.conf", "")]);
        assert!(message[0].contains("sets data_directory to /var/lib/postgresql/15/main"), "{message:?}");
    }
}
