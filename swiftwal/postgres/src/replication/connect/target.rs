//! Checks that a server is what `target_session_attrs` asks for.

use super::endpoint::Endpoint;
use crate::replication::{error::ReplicationError, query::query, wire::Wire};

const DOING: &str = "asking for the server's role";

/// What a server must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
}

/// What a server says of itself; `None` if that can't be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Role {
    is_standby: Option<bool>,
    is_read_only: bool,
}

impl Role {
    fn fits(self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::Any => true,
            Wanted::ReadWrite => !self.is_read_only,
            Wanted::ReadOnly => self.is_read_only,
            Wanted::Primary => self.is_standby == Some(false),
            Wanted::Standby => self.is_standby == Some(true),
        }
    }
}

/// Fails unless the server is what is wanted.
pub(super) async fn check(
    wire: &mut Wire,
    wanted: Wanted,
    endpoint: &Endpoint,
) -> Result<(), ReplicationError> {
    if wanted == Wanted::Any || role(wire).await?.fits(wanted) {
        return Ok(());
    }
    Err(ReplicationError::Target { host: endpoint.to_string() })
}

async fn role(wire: &mut Wire) -> Result<Role, ReplicationError> {
    // Servers report both from version 14 on.
    if let (Some(standby), Some(read_only)) =
        (wire.parameter("in_hot_standby"), wire.parameter("default_transaction_read_only"))
    {
        let is_standby = standby == "on";
        return Ok(Role { is_standby: Some(is_standby), is_read_only: is_standby || read_only == "on" });
    }
    let reads_only = show(wire, "SHOW transaction_read_only").await?;
    let by_default = show(wire, "SHOW default_transaction_read_only").await?;
    Ok(old_role(&reads_only, &by_default))
}

/// In recovery every transaction is read-only, whatever the setting.
fn old_role(reads_only: &str, by_default: &str) -> Role {
    let is_read_only = reads_only == "on";
    let is_standby = match (is_read_only, by_default) {
        (false, _) => Some(false),
        (true, "off") => Some(true),
        _ => None,
    };
    Role { is_standby, is_read_only }
}

async fn show(wire: &mut Wire, command: &str) -> Result<String, ReplicationError> {
    let rows = query(wire, command, &mut Vec::new(), DOING).await?;
    Ok(rows.text(0, 0)?.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_that_only_reads_by_setting_is_neither_primary_nor_standby() {
        for (reads_only, by_default, fitting) in [
            ("off", "off", &[Wanted::ReadWrite, Wanted::Primary][..]),
            ("on", "off", &[Wanted::ReadOnly, Wanted::Standby]),
            ("on", "on", &[Wanted::ReadOnly]),
        ] {
            let role = old_role(reads_only, by_default);
            let all = [Wanted::ReadWrite, Wanted::ReadOnly, Wanted::Primary, Wanted::Standby];
            let fits: Vec<_> = all.into_iter().filter(|wanted| role.fits(*wanted)).collect();
            assert_eq!(fits, fitting);
            assert!(role.fits(Wanted::Any));
        }
    }
}
