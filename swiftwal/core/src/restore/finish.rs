//! Writes the files that are written last: the label, PostgreSQL's manifest, the recovery settings and `pg_control`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use swiftwal_postgres::BackupLabel;

use super::{
    RestoreOptions, RestoreStats, Written,
    chain::{CompleteFile, FileName},
    combine,
    destination::Destination,
    extract::Extracted,
    recovery,
    tablespaces::Tablespaces,
};
use crate::{
    error::{Error, Result},
    local::blocking::blocking,
    repository::{
        file_names::LABEL,
        key::BackupKey,
        manifest::{Algorithm, Correction, Corrections, Manifest, ManifestText, correction, listed_name},
    },
};

/// The file with PostgreSQL's manifest, as `pg_basebackup` writes it.
const MANIFEST: &str = "backup_manifest";
const TABLESPACE_MAP: &str = "tablespace_map";

/// Sets a flag when it is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Adds the checksums of the combined files that the manifest of the result needs.
pub(super) async fn add_checksums(mut written: Written, destination: &Arc<Destination>) -> Result<Written> {
    let Some(algorithm) = written.manifest.as_ref().map(|manifest| manifest.algorithm) else {
        return Ok(written);
    };
    let stop = StopOnDrop(Arc::default());
    let (is_stopped, destination) = (Arc::clone(&stop.0), Arc::clone(destination));
    blocking(move || {
        if let Some(combined) = &mut written.combined {
            combine::read_back(combined, &destination, algorithm, &is_stopped)?;
        }
        Ok(written)
    })
    .await
}

/// Writes the files that make a cluster startable, in an order in which a kill does no harm.
pub(super) fn finish(
    key: BackupKey,
    written: Written,
    destination: Arc<Destination>,
    tablespaces: Tablespaces,
    options: &RestoreOptions,
) -> Result<RestoreStats> {
    let Written { extracted, manifest, combined } = written;
    let lacks = |what: &str| Error::damaged(format!("backup {key}"), format!("it has no {what}"));
    let control = extracted.control.ok_or_else(|| lacks("global/pg_control"))?;
    let version = extracted.version.ok_or_else(|| lacks("PG_VERSION"))?;
    let stored_label = extracted.label.ok_or_else(|| lacks("backup_label"))?;
    let label = label_of_result(key, &stored_label, combined.is_some())?;
    if label != stored_label {
        destination.rewrite(LABEL, &label)?;
    }
    let mut rewritten = vec![(LABEL, stored_label, label.clone())];
    if let Some(stored) = extracted.tablespace_map {
        let map = tablespaces.map(&stored).map_err(|oid| {
            let reason = format!("its tablespace_map names a tablespace {oid} that it doesn't contain");
            Error::damaged(format!("backup {key}"), reason)
        })?;
        destination.write(TABLESPACE_MAP, &map)?;
        rewritten.push((TABLESPACE_MAP.as_bytes(), stored, map));
    }
    if let Some(Manifest { algorithm, text: Some(text), .. }) = manifest {
        let mut corrections = corrections(combined.unwrap_or_default(), algorithm);
        for (name, _, content) in rewritten.into_iter().filter(|(_, stored, content)| stored != content) {
            corrections.insert(name.to_owned(), correction(&content, algorithm));
        }
        write_manifest(&destination, text, &corrections)?;
    }
    if !options.no_recovery {
        write_settings(&destination, &version, key, options)?;
    }
    destination.restrict(recovery::major(&version)?)?;
    destination.sync()?;
    destination.publish_control(&control, &label)?;
    destination.keep();
    let postgres_version = version.trim().to_owned();
    let Extracted { files, bytes, kept_files, fetched_bytes, .. } = extracted;
    Ok(RestoreStats { key, files, bytes, kept_files, fetched_bytes, left_out: Vec::new(), postgres_version })
}

/// Returns the `backup_label` of the restored cluster.
///
/// # Errors
///
/// [`Error::Damaged`] for that of an incremental backup with the commit record of a full one: PostgreSQL refuses to start
/// from it.
fn label_of_result(key: BackupKey, stored: &[u8], is_combined: bool) -> Result<Vec<u8>> {
    match BackupLabel::from_bytes(stored) {
        Ok(label) if is_combined => Ok(label.combined()),
        Ok(label) if label.incremental_from().is_some() => Err(Error::damaged(
            format!("backup {key}"),
            "its commit record is that of a full backup, and its backup_label that of an incremental one",
        )),
        _ => Ok(stored.to_owned()),
    }
}

/// Returns what the manifest of the result says about the combined files.
fn corrections(combined: BTreeMap<FileName, CompleteFile>, algorithm: Algorithm) -> Corrections {
    let correction = |((tablespace, name), file): (FileName, CompleteFile)| {
        let checksum = file.checksum.map(|(_, checksum)| checksum).unwrap_or_default();
        Some((listed_name(tablespace, &name)?, Correction { bytes: file.bytes, algorithm, checksum }))
    };
    combined.into_iter().filter_map(correction).collect()
}

/// Writes PostgreSQL's manifest, unless the data directory's tar had one.
fn write_manifest(destination: &Destination, text: ManifestText, corrections: &Corrections) -> Result<()> {
    let mut root = destination.root(None)?;
    if root.has_created(MANIFEST.as_bytes()) {
        return Ok(());
    }
    let file = root.create_file(MANIFEST.as_bytes(), 0o600)?;
    text.write(file, corrections).map_err(Error::local("write", root.path().join(MANIFEST)))
}

/// Writes the recovery settings.
fn write_settings(
    destination: &Destination,
    version: &str,
    key: BackupKey,
    options: &RestoreOptions,
) -> Result<()> {
    if options.only_recovery_settings {
        destination.drop_lines(recovery::AUTO_CONF, |_| true)?;
    } else if options.standby {
        destination.drop_lines(recovery::AUTO_CONF, recovery::is_emptied_by_a_restore)?;
    }
    for file in recovery::files(version, key, options)? {
        match file.mode {
            recovery::Mode::Whole => destination.write(file.name, file.content.as_bytes())?,
            recovery::Mode::Added => destination.append(file.name, file.content.as_bytes())?,
        }
    }
    Ok(())
}
