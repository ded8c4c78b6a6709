//! The subcommand list-wal.

use swiftwal_core::WalGap;

use crate::{
    failure::Failure,
    output::{Column, Size, Table},
    session::Session,
};

/// List the WAL files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swiftwal -c /etc/swiftwal.toml list-wal | tail -1")]
pub(crate) struct Args {}

pub(crate) async fn run(session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    repository.refuse_unknown_unless_seen().await?;
    let inventory = repository.inventory().await?;
    let shows_gaps = session.output.verbose && !session.output.json;
    let gaps = if shows_gaps { repository.gaps(&inventory).await? } else { Vec::new() };
    let wal = inventory.wal;
    if session.output.json {
        return session.output.json(&wal);
    }
    session.output.text(|out| {
        if !session.output.verbose {
            return wal.iter().try_for_each(|wal| writeln!(out, "{}", wal.file_name()));
        }
        let sizes = wal.iter().map(|wal| Size(wal.bytes).to_string());
        let objects = wal.iter().map(|wal| wal.object_name().to_string());
        Table::new(vec![Column::new("Size", sizes), Column::new(session.object_header(), objects)])
            .write(out)?;
        writeln!(out, "\nTotal Size: {}", Size(wal.iter().map(|wal| wal.bytes).sum()))?;
        gaps.iter().try_for_each(|gap| {
            let WalGap { first_wal, last_wal, .. } = gap;
            let missing = if first_wal == last_wal {
                first_wal.to_string()
            } else {
                format!("{first_wal} to {last_wal}")
            };
            writeln!(
                out,
                "\nMissing: {missing}. A backup that was taken before this WAL can't be recovered past it"
            )
        })
    })
}
