//! `--dry-run`: what a restore would do.

use std::{
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use serde_json::{Value, json};
use swiftwal_core::{BackupKind, ExistingFiles, RestorePlan};
use swiftwal_postgres::printable;

use crate::output::Size;

/// Writes what a restore into `directory` would do.
pub(super) fn write(out: &mut dyn Write, plan: &RestorePlan, directory: &Path) -> io::Result<()> {
    let RestorePlan { key, location, followed, others, .. } = plan;
    writeln!(out, "Would restore {key} from {location} into {}; nothing was written", shown(directory))?;
    if let (Some(stored), Some(tar)) = (plan.stored_bytes, plan.tar_bytes) {
        let size = if plan.chain.len() > 1 { "Size of all backups" } else { "Size" };
        writeln!(out, "  {size}: {}, to be fetched: {}", Size(tar), Size(stored))?;
    }
    if plan.chain.len() > 1 {
        writeln!(out, "  Reads these backups, the newest first:")?;
        for member in &plan.chain {
            writeln!(out, "    {} ({}): {}", member.key, kind(member.kind), Size(member.stored_bytes))?;
        }
    }
    if let Some(ExistingFiles { files, may_be_kept, stored_bytes, .. }) = plan.existing {
        writeln!(
            out,
            "  In {}: {may_be_kept} of {files} files have the size that they have in the backup, and may be kept; at least {} must \
             be fetched",
            shown(directory),
            Size(stored_bytes)
        )?;
    }
    for space in &plan.tablespaces {
        let (old, directory) = (shown(&space.old), shown(&space.directory));
        writeln!(out, "  Tablespace {}, formerly in {old}: into {directory}", space.oid)?;
    }
    if let Some(followed) = followed {
        writeln!(out, "  Recovery follows {followed}")?;
    }
    for other in others {
        writeln!(out, "  Not followed: {other}")?;
    }
    notices(plan).try_for_each(|notice| writeln!(out, "  Warning: {notice}"))
}

/// Returns the `--json` document.
pub(super) fn document(plan: &RestorePlan) -> Value {
    let tablespaces = plan.tablespaces.iter().map(|space| {
        json!({
            "oid": space.oid,
            "location": space.old.to_string_lossy(),
            "directory": space.directory.to_string_lossy(),
        })
    });
    let chain = plan.chain.iter().map(|member| {
        json!({
            "key": member.key,
            "kind": member.kind,
            "bytes": member.tar_bytes,
            "stored_bytes": member.stored_bytes,
        })
    });
    json!({
        "dry_run": true,
        "key": plan.key,
        "chain": chain.collect::<Vec<_>>(),
        "repository": plan.location,
        "bytes": plan.tar_bytes,
        "stored_bytes": plan.stored_bytes,
        "existing": plan.existing.map(|existing| {
            json!({
                "files": existing.files,
                "may_be_kept": existing.may_be_kept,
                "least_stored_bytes": existing.stored_bytes,
            })
        }),
        "followed": plan.followed,
        "others": plan.others,
        "tablespaces": tablespaces.collect::<Vec<_>>(),
        "notices": notices(plan).collect::<Vec<_>>(),
    })
}

fn kind(kind: BackupKind) -> &'static str {
    match kind {
        BackupKind::Full => "full",
        _ => "incremental",
    }
}

fn notices(plan: &RestorePlan) -> impl Iterator<Item = &String> {
    plan.damage.iter().chain(&plan.shortfall)
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_bytes()).to_string()
}
