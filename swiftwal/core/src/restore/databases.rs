//! Which databases a restore contains. Of the others, the files exist with their sizes, but without content.
//!
//! Recovery replays WAL of every database, so the files of the others must be there: a block that the WAL changes is
//! written as a whole first. Empty space takes no room on disk. Their `pg_filenode.map` is empty space, too: PostgreSQL
//! then refuses connections to such a database. If it could read the map, it would stop as a whole at the first
//! connection, even of autovacuum, since the database's catalogs are empty.

use std::collections::BTreeSet;

use swiftwal_postgres::{Database, incremental_file::complete_name, printable};

use super::RestoreOptions;
use crate::{
    error::{Error, Refusal, Result},
    repository::backup::ChosenBackup,
};

/// The databases that every server needs.
const OF_EVERY_SERVER: [&str; 3] = ["postgres", "template0", "template1"];
/// PostgreSQL's `FirstNormalObjectId`: databases with smaller numbers were created by initdb.
const FIRST_OF_USERS: u32 = 16384;
/// The file that leads to a database's catalogs.
const MAP: &[u8] = b"pg_filenode.map";

/// The databases that are restored with their content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChosenDatabases {
    oids: BTreeSet<u32>,
    /// The names of the others.
    left_out: Vec<String>,
}

impl ChosenDatabases {
    /// Chooses the databases that the options name; none if they name none, for all of them.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if it isn't known which databases the backup has; [`Error::Usage`] for a name that none has.
    pub(super) fn plan(chosen: &ChosenBackup, options: &RestoreOptions) -> Result<Option<Self>> {
        if options.databases.is_empty() {
            return Ok(None);
        }
        if options.standby {
            return Err(Error::Usage(
                "a standby can't be restored with some of the databases only, as the others can't be dropped there"
                    .to_owned(),
            ));
        }
        let refused = |reason: &str| {
            let what = format!("single databases of backup {} can't be restored: {reason}", chosen.key);
            Error::Refused(Refusal::destination(what, "restore all of it, without --database"))
        };
        let unknown = || {
            refused("it doesn't list its databases, as it was taken without an SQL connection to the server")
        };
        let databases = chosen.record.as_ref().and_then(|record| record.databases.as_ref());
        Self::choose(databases.ok_or_else(unknown)?, &options.databases).map(Some)
    }

    fn choose(databases: &[Database], names: &[String]) -> Result<Self> {
        let is_known = |name: &String| databases.iter().any(|database| database.name == *name);
        if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
            let known: Vec<_> =
                databases.iter().map(|database| printable(&database.name).to_string()).collect();
            return Err(Error::Usage(format!(
                "the backup has no database '{}'; it has {}",
                printable(unknown),
                known.join(", ")
            )));
        }
        let is_chosen = |database: &&Database| {
            let Database { oid, name } = database;
            *oid < FIRST_OF_USERS || OF_EVERY_SERVER.contains(&name.as_str()) || names.contains(name)
        };
        let (chosen, left_out): (Vec<_>, Vec<_>) = databases.iter().partition(is_chosen);
        Ok(Self {
            oids: chosen.iter().map(|database| database.oid).collect(),
            left_out: left_out.iter().map(|database| database.name.clone()).collect(),
        })
    }

    /// Returns the names of the databases that are restored without their content.
    pub(super) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Whether the file `name` of a tablespace's tar, or of the data directory's, is restored without its content. An
    /// incremental file counts as the complete one.
    pub(super) fn leaves_out(&self, tablespace: Option<u32>, name: &[u8]) -> bool {
        let complete = complete_name(name, tablespace.is_some());
        let steps: Vec<_> = complete.as_deref().unwrap_or(name).split(|byte| *byte == b'/').collect();
        match (tablespace, steps.as_slice()) {
            (None, [b"base", database, file]) | (Some(_), [_, database, file]) => {
                self.leaves_out_file(database, file)
            }
            // As PostgreSQL's manifest lists it, and as an in-place tablespace is.
            (None, [b"pg_tblspc", _, _, database, file]) => self.leaves_out_file(database, file),
            _ => false,
        }
    }

    fn leaves_out_file(&self, database: &[u8], file: &[u8]) -> bool {
        let database = std::str::from_utf8(database).ok().and_then(|database| database.parse().ok());
        database.is_some_and(|database: u32| !self.oids.contains(&database))
            && (is_relation(file) || file == MAP)
    }
}

/// Whether a file is part of a relation: `16384`, `16384_fsm`, `16384.1`, `16384_vm.2`, or temporary, `t3_16384`.
fn is_relation(file: &[u8]) -> bool {
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let (relation, segment) = match file.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&file[..dot], Some(&file[dot + 1..])),
        None => (file, None),
    };
    let relation = [&b"_fsm"[..], b"_vm", b"_init"]
        .iter()
        .find_map(|fork| relation.strip_suffix(*fork))
        .unwrap_or(relation);
    is_number(relation) && segment.is_none_or(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn databases() -> Vec<Database> {
        let database = |oid, name: &str| Database { oid, name: name.to_owned() };
        vec![
            database(1, "template1"),
            database(5, "postgres"),
            database(16384, "shop"),
            database(16385, "blog"),
            database(16390, "template0"),
        ]
    }

    #[test]
    fn what_every_server_needs_is_chosen_with_the_named_databases() {
        let chosen = ChosenDatabases::choose(&databases(), &["shop".to_owned()]).unwrap();
        assert_eq!(chosen.oids, BTreeSet::from([1, 5, 16384, 16390]));
        assert_eq!(chosen.left_out(), ["blog"]);
        let error = ChosenDatabases::choose(&databases(), &["Shop".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no database 'Shop'; it has template1, postgres, shop, blog"), "{error}");
    }

    #[test]
    fn only_relations_and_maps_of_other_databases_are_left_out() {
        let chosen = ChosenDatabases::choose(&databases(), &["shop".to_owned()]).unwrap();
        for (tablespace, name, is_left_out) in [
            (None, "base/16385/1259", true),
            (None, "base/16385/1259_fsm", true),
            (None, "base/16385/1259_init", true),
            (None, "base/16385/16500_vm.2", true),
            (None, "base/16385/16500.1", true),
            (None, "base/16385/INCREMENTAL.16500.1", true),
            (None, "base/16384/INCREMENTAL.16500.1", false),
            (None, "pg_tblspc/16400/PG_17_202406281/16385/INCREMENTAL.16500", true),
            (Some(16400), "PG_17_202406281/16385/INCREMENTAL.16500", true),
            (None, "base/16385/pg_filenode.map", true),
            // A database that was created during the backup.
            (None, "base/20000/1259", true),
            (Some(16400), "PG_15_202209061/16385/16500", true),
            (None, "pg_tblspc/16400/PG_15_202209061/16385/16500", true),
            (None, "base/16385/PG_VERSION", false),
            (None, "base/16385", false),
            (None, "base/16385/notes.txt", false),
            (None, "base/16385/16500.", false),
            (None, "base/16384/1259", false),
            (None, "base/1/1259", false),
            (None, "global/1260", false),
            (None, "pg_xact/16385/0000", false),
            (Some(16400), "PG_15_202209061/16384/16500", false),
            (None, "PG_15_202209061/16385/16500", false),
        ] {
            assert_eq!(chosen.leaves_out(tablespace, name.as_bytes()), is_left_out, "{name}");
        }
    }
}
