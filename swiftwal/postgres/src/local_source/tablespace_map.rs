//! The map of the tablespaces that the server made when the backup began.

use super::failure::unexpected;
use crate::{SourceError, Tablespace};

/// Checks that every tablespace in the map is in the backup. One that was dropped right after the server had made the map
/// isn't, and without it the backup couldn't be restored.
pub(super) fn check(map: &[u8], archived: &[Tablespace]) -> Result<(), SourceError> {
    let is_archived = |oid: &u32| archived.iter().any(|tablespace| tablespace.oid == *oid);
    match oids(map).find(|oid| !is_archived(oid)) {
        None => Ok(()),
        Some(oid) => Err(unexpected(format!("the tablespace {oid} was dropped while the backup began"))),
    }
}

/// Returns the numbers at the beginnings of the lines. A line break that belongs to a path follows a backslash.
fn oids(map: &[u8]) -> impl Iterator<Item = u32> {
    let ends_line = |at: usize| {
        let backslashes = map[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        backslashes % 2 == 0
    };
    let starts = (0..map.len()).filter(move |at| *at == 0 || map[at - 1] == b'\n' && ends_line(at - 1));
    starts.filter_map(|start| {
        let number = map[start..].split(|byte| *byte == b' ').next()?;
        std::str::from_utf8(number).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tablespace_that_is_in_the_map_only_was_dropped() {
        let archived = [16400, 16401].map(|oid| Tablespace { oid, location: String::new() });
        for map in [&b""[..], b"16400 /a\n", b"16400 /a\\\n16402 /not a line\n16401 /b\\\\\n"] {
            check(map, &archived).unwrap();
        }
        let error = check(b"16401 /b\\\\\n16402 /c\n", &archived).unwrap_err();
        assert_eq!(error.to_string(), "the tablespace 16402 was dropped while the backup began");
        assert!(error.hint().unwrap().contains("take the backup again"));
    }
}
