//! The window of the WAL: a backup from before it keeps only the WAL that makes it consistent, if another one reaches each
//! moment of the window.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::repository::{
    backup::ChosenBackup,
    key::BackupKey,
    timelines::{ListedBackup, Timelines},
};

/// Returns those of the `kept` backups that keep only the WAL from their start to their stop. For each branch that such a
/// backup leads to, a newer one is kept that also had ended when the window `begins`, and that is `counted`.
///
/// A backup of which it isn't known when it ended, or where it is in the WAL, isn't among them.
pub(super) fn only_themselves(
    begins: Timestamp,
    kept: &[ChosenBackup],
    timelines: &Timelines,
    counted: &BTreeSet<BackupKey>,
) -> BTreeSet<BackupKey> {
    let tips = timelines.tips();
    let is_before = |backup: &ListedBackup| {
        let kept = kept.iter().find(|kept| kept.key == backup.key);
        kept.and_then(|kept| kept.record.as_ref()).is_some_and(|record| record.finished <= begins)
    };
    let before: Vec<_> = timelines.backups.iter().filter(|backup| is_before(backup)).collect();
    let leads_to = |backup: &ListedBackup, tip| {
        backup.position.is_some_and(|position| timelines.leads_to(position, tip))
    };
    let only_itself = |(backup, newer): (&ListedBackup, &[&ListedBackup])| {
        let mut led_to = tips.iter().filter(|tip| leads_to(backup, **tip)).peekable();
        let is_reached = |tip| newer.iter().any(|newer| counted.contains(&newer.key) && leads_to(newer, tip));
        (led_to.peek().is_some() && led_to.all(|tip| is_reached(*tip))).then_some(backup.key)
    };
    let with_newer = (1..).zip(&before).map(|(next, backup)| (*backup, &before[next..]));
    with_newer.filter_map(only_itself).collect()
}
