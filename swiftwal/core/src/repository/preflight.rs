//! The checks before a backup: the server must belong to the repository, and its WAL must get there. Each check is a
//! pure function of the facts that the server reported, so that other commands can use it.

use swiftwal_postgres::{
    Archiving, NotArchiving, ServerFacts,
    incremental_file::{BLOCK_BYTES, MOST_BLOCKS},
};

use crate::{
    error::Refusal,
    repository::cluster::{ClusterIdentity, ClusterInfo},
};

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The backup would be useless; the refusal says why, and what to do.
    Obstacle(Refusal),
    /// The backup may be useless.
    Warning(String),
}

/// Checks a backup of the server that reported `facts` into the repository at `location`, which belongs to `cluster`,
/// if that is known. `include_wal` says whether its WAL is included.
#[must_use]
pub fn preflight(
    facts: &ServerFacts,
    cluster: Option<&ClusterInfo>,
    location: &str,
    include_wal: bool,
) -> Vec<Finding> {
    let identity = cluster.and_then(|cluster| another_cluster(facts, cluster, location));
    let archiving = if include_wal { None } else { without_archive(facts) };
    identity.into_iter().chain(archiving).collect()
}

/// The first major version that takes incremental backups.
const FIRST_INCREMENTAL: u32 = 17;

/// The size of a relation's segment of which an incremental backup can be restored: 1 GiB.
const RELATION_SEGMENT_BYTES: u64 = BLOCK_BYTES * MOST_BLOCKS as u64;

/// Returns why the server that reported `facts` can't take incremental backups; none if it can, or if that is unknown.
#[must_use]
pub fn incremental_obstacle(facts: &ServerFacts) -> Option<Refusal> {
    let version = facts.postgres_version.as_deref().unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < FIRST_INCREMENTAL) {
        let reason = format!("the server has PostgreSQL {version}, and incremental backups exist from 17 on");
        return Some(Refusal::not_incremental(reason, "take full backups"));
    }
    let sizes = [
        ("pages", facts.page_bytes, BLOCK_BYTES),
        ("segments of relations", facts.relation_segment_bytes, RELATION_SEGMENT_BYTES),
    ];
    for (what, bytes, usual) in sizes {
        if let Some(bytes) = bytes.filter(|bytes| *bytes != usual) {
            let reason = format!(
                "the server was built with {what} of {bytes} bytes, and swiftwal can restore incremental backups only with \
                 those of {usual} bytes"
            );
            return Some(Refusal::not_incremental(reason, "take full backups"));
        }
    }
    (facts.summarizes_wal == Some(false)).then(|| {
        Refusal::not_incremental(
            "the server's summarize_wal is off",
            "set summarize_wal = on and reload the configuration, then take a full backup as the first parent",
        )
    })
}

fn another_cluster(facts: &ServerFacts, cluster: &ClusterInfo, location: &str) -> Option<Finding> {
    let identity = ClusterIdentity {
        system_identifier: facts.system_identifier,
        postgres_version: None,
        wal_segment_bytes: facts.segment_size.unwrap_or(cluster.identity.wal_segment_bytes),
    };
    let refusal = cluster.check(&identity, location).err()?;
    Some(Finding::Obstacle(refusal))
}

fn without_archive(facts: &ServerFacts) -> Option<Finding> {
    let Some(archiving) = &facts.archiving else {
        return Some(Finding::Warning(
            "it couldn't be checked whether the server archives its WAL".to_owned(),
        ));
    };
    let what = complaint(archiving)?;
    // The WAL of a standby's backup is archived by its primary, unless archive_mode is always.
    Some(match facts.is_standby {
        Some(false) => Finding::Obstacle(Refusal::NotArchiving { what }),
        _ => Finding::Warning(format!("{what}: its primary must archive the WAL that the backup needs")),
    })
}

fn complaint(archiving: &Archiving) -> Option<&'static str> {
    Some(match archiving.obstacle()? {
        NotArchiving::Off => "the server's archive_mode is off",
        NotArchiving::NoCommand => "the server's archive_command is empty",
        NotArchiving::Discards => "the server's archive_command stores nothing",
    })
}

#[cfg(test)]
mod tests {
    use swiftwal_postgres::Timeline;

    use super::*;

    fn server(archiving: Option<Archiving>, is_standby: Option<bool>) -> ServerFacts {
        let mut facts = ServerFacts::new(7, Timeline::FIRST);
        (facts.archiving, facts.is_standby) = (archiving, is_standby);
        facts
    }

    fn off() -> Option<Archiving> {
        Some(Archiving::new("off", "(disabled)", ""))
    }

    #[test]
    fn a_server_with_unusual_pages_or_segments_takes_no_incremental_backups() {
        let obstacle = |page_bytes, relation_segment_bytes| {
            let mut facts = server(None, None);
            facts.summarizes_wal = Some(true);
            (facts.page_bytes, facts.relation_segment_bytes) = (page_bytes, relation_segment_bytes);
            incremental_obstacle(&facts).map(|refusal| refusal.to_string())
        };
        assert_eq!(obstacle(Some(8192), Some(1 << 30)), None);
        assert_eq!(obstacle(None, None), None);
        let told = obstacle(Some(16384), Some(1 << 30)).unwrap();
        assert!(told.contains("pages of 16384 bytes"), "{told}");
        let told = obstacle(Some(8192), Some(48 << 10)).unwrap();
        assert!(told.contains("segments of relations of 49152 bytes"), "{told}");
    }

    #[test]
    fn a_primary_that_archives_nothing_is_an_obstacle_only_where_the_wal_is_not_inside() {
        let findings = |facts: &ServerFacts, include_wal| preflight(facts, None, "x", include_wal);
        let primary = server(off(), Some(false));
        assert!(matches!(&findings(&primary, false)[..], [Finding::Obstacle(_)]));
        assert!(findings(&primary, true).is_empty());
        for doubtful in [server(off(), Some(true)), server(off(), None), server(None, Some(false))] {
            assert!(matches!(&findings(&doubtful, false)[..], [Finding::Warning(_)]), "{doubtful:?}");
        }
    }
}
