//! Finds passwords in password files.

use std::{fs::File, io::Read, os::unix::fs::MetadataExt, path::Path};

use crate::{printable, replication::secret::Secret};

/// More than any password file has.
const MOST_BYTES: u64 = 1 << 20;

/// The bits that give rights to others than the owner.
const OTHERS: u32 = 0o077;

/// The connection that a password is looked up for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// Reads a password file. One that others may read isn't used, which the returned warning says, as libpq does.
pub(super) fn read(path: &Path) -> Result<String, Option<String>> {
    let shown = printable(path.as_os_str().as_encoded_bytes());
    // A missing file is usual. Opening a pipe could block forever.
    let metadata = path.metadata().map_err(|_| None)?;
    if !metadata.is_file() {
        return Err(Some(format!("password file \"{shown}\" is not a plain file")));
    }
    if metadata.mode() & OTHERS != 0 {
        return Err(Some(format!(
            "password file \"{shown}\" has group or world access; permissions should be u=rw (0600) or less"
        )));
    }
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    read.map_err(|error| Some(format!("password file \"{shown}\" can't be read: {error}")))?;
    Ok(text)
}

/// Returns the password of the first line that fits.
pub(super) fn find(text: &str, wanted: Wanted<'_>) -> Option<Secret> {
    text.lines().find_map(|line| password(line, wanted))
}

fn password(line: &str, wanted: Wanted<'_>) -> Option<Secret> {
    if line.starts_with('#') {
        return None;
    }
    let port = wanted.port.to_string();
    let mut rest = line;
    for value in [wanted.host, &port, wanted.database, wanted.user] {
        let (field, after) = field(rest);
        let after = after?;
        // Only a bare asterisk stands for everything.
        if !(rest.starts_with("*:") || field == value) {
            return None;
        }
        rest = after;
    }
    Some(field(rest).0).filter(|password| !password.is_empty()).map(Secret::new)
}

/// Splits the line after its first field, of which the escapes are removed. Without a colon, nothing follows.
fn field(line: &str) -> (String, Option<&str>) {
    let mut value = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' => return (value, Some(characters.as_str())),
            '\\' => value.push(characters.next().unwrap_or('\\')),
            other => value.push(other),
        }
    }
    (value, None)
}
