//! The options that say where recovery ends.

use swiftwal_core::{RecoveryTarget, parse_target_time};
use swiftwal_postgres::{Lsn, printable};

use crate::values::whole;

/// Where recovery ends, if not at the end of the WAL.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Recovery")]
#[group(id = "target", multiple = false)]
pub(super) struct TargetArgs {
    /// Recover up to this time; with its time zone, such as '2013-08-28 19:40:00 UTC' or '…+02'
    #[arg(long, value_name = "TIME", value_parser = parse_target_time)]
    target_time: Option<jiff::Timestamp>,
    /// Recover up to this transaction
    #[arg(long, value_name = "XID", value_parser = whole::<u64>(0..=u64::MAX), allow_negative_numbers = true)]
    target_xid: Option<u64>,
    /// Recover up to this position in the WAL, such as 0/5C000020
    #[arg(long, value_name = "LSN")]
    target_lsn: Option<Lsn>,
    /// Recover up to this restore point, created by pg_create_restore_point()
    #[arg(long, value_name = "NAME")]
    target_name: Option<String>,
    /// Recover until the backup is consistent, and no further
    #[arg(long)]
    target_immediate: bool,
}

impl TargetArgs {
    /// Returns the target, if one was given.
    pub(super) fn chosen(self) -> Option<RecoveryTarget> {
        let immediate = self.target_immediate.then_some(RecoveryTarget::Immediate);
        self.target_time
            .map(RecoveryTarget::Time)
            .or(self.target_xid.map(RecoveryTarget::Xid))
            .or(self.target_lsn.map(RecoveryTarget::Lsn))
            .or(self.target_name.map(RecoveryTarget::Name))
            .or(immediate)
    }
}

/// Returns the place where recovery ends, in words.
pub(super) fn target_text(target: Option<&RecoveryTarget>) -> String {
    match target {
        None => "the end of the stored WAL".to_owned(),
        Some(RecoveryTarget::Time(time)) => time.to_string(),
        Some(RecoveryTarget::Xid(xid)) => format!("transaction {xid}"),
        Some(RecoveryTarget::Lsn(lsn)) => lsn.to_string(),
        Some(RecoveryTarget::Name(name)) => format!("the restore point {}", printable(name)),
        Some(RecoveryTarget::Immediate) => "the point where the backup is consistent".to_owned(),
    }
}
