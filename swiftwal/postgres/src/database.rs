//! The names of a cluster's databases.

use serde::{Deserialize, Serialize};

/// The query for the databases, in one value. The names are in hexadecimal digits: each is in the encoding of the database
/// in which it was given.
pub(crate) const QUERY: &str = "SELECT pg_catalog.string_agg(oid::pg_catalog.text || ':' || \
    pg_catalog.encode(pg_catalog.namesend(datname), 'hex'), ',' ORDER BY oid) FROM pg_catalog.pg_database";

/// A database of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its number: the name of its directory in `base`, and in each tablespace.
    pub oid: u32,
    /// Its name.
    pub name: String,
}

/// Parses the answer to [`QUERY`]. A database whose name isn't UTF-8 is left out. None if it can't be parsed.
pub(crate) fn parse(answer: &str) -> Option<Vec<Database>> {
    let mut databases = Vec::new();
    for entry in answer.split(',') {
        let (oid, hex) = entry.split_once(':')?;
        let oid = oid.parse().ok()?;
        if let Ok(name) = String::from_utf8(bytes(hex)?) {
            databases.push(Database { oid, name });
        }
    }
    Some(databases)
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_encoding_and_those_that_are_utf8_are_kept() {
        let database = |oid, name: &str| Database { oid, name: name.to_owned() };
        let answer = "1:74656d706c61746531,5:c3a92c3a,16384:e9";
        assert_eq!(parse(answer).unwrap(), [database(1, "template1"), database(5, "é,:")]);
        for odd in ["", "1", "x:41", "1:4", "1:4g", "1:é"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
