//! The keywords of libpq, their environment variables, and whether this client supports them.

/// A keyword of libpq.
#[derive(Debug)]
pub(super) struct Keyword {
    pub(super) name: &'static str,
    /// Its environment variable.
    pub(super) variable: Option<&'static str>,
    support: Support,
}

#[derive(Debug)]
enum Support {
    Full,
    /// Only these values, which ask for nothing that this client lacks.
    Values(&'static [&'static str]),
    None,
}

use Support::{Full, Values};

impl Keyword {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|keyword| keyword.name == name)
    }

    /// Whether this client does what the setting asks for. An empty value asks for nothing.
    pub(super) fn supports(&self, value: &str) -> bool {
        match self.support {
            Full => true,
            Values(values) => value.is_empty() || values.contains(&value),
            Support::None => value.is_empty(),
        }
    }

    pub(super) fn has_supported_value(&self) -> bool {
        matches!(self.support, Values(_))
    }
}

const fn keyword(name: &'static str, variable: &'static str, support: Support) -> Keyword {
    Keyword { name, variable: Some(variable), support }
}

/// A keyword without an environment variable.
const fn bare(name: &'static str, support: Support) -> Keyword {
    Keyword { name, variable: None, support }
}

pub(super) const ALL: &[Keyword] = &[
    keyword("application_name", "PGAPPNAME", Full),
    keyword("channel_binding", "PGCHANNELBINDING", Full),
    keyword("client_encoding", "PGCLIENTENCODING", Full),
    keyword("connect_timeout", "PGCONNECT_TIMEOUT", Full),
    keyword("dbname", "PGDATABASE", Full),
    bare("fallback_application_name", Full),
    keyword("gssdelegation", "PGGSSDELEGATION", Values(&["0"])),
    keyword("gssencmode", "PGGSSENCMODE", Values(&["disable", "prefer"])),
    keyword("gsslib", "PGGSSLIB", Support::None),
    keyword("host", "PGHOST", Full),
    keyword("hostaddr", "PGHOSTADDR", Full),
    bare("keepalives", Full),
    bare("keepalives_count", Full),
    bare("keepalives_idle", Full),
    bare("keepalives_interval", Full),
    keyword("krbsrvname", "PGKRBSRVNAME", Values(&["postgres"])),
    keyword("load_balance_hosts", "PGLOADBALANCEHOSTS", Full),
    keyword("max_protocol_version", "PGMAXPROTOCOLVERSION", Values(&["3.0", "3.2", "latest"])),
    keyword("min_protocol_version", "PGMINPROTOCOLVERSION", Values(&["3.0"])),
    bare("oauth_client_id", Support::None),
    bare("oauth_client_secret", Support::None),
    bare("oauth_issuer", Support::None),
    bare("oauth_scope", Support::None),
    keyword("options", "PGOPTIONS", Full),
    keyword("passfile", "PGPASSFILE", Full),
    keyword("password", "PGPASSWORD", Full),
    keyword("port", "PGPORT", Full),
    bare("replication", Values(&["true", "on", "yes", "1"])),
    keyword("require_auth", "PGREQUIREAUTH", Support::None),
    keyword("requirepeer", "PGREQUIREPEER", Support::None),
    bare("scram_client_key", Support::None),
    bare("scram_server_key", Support::None),
    keyword("service", "PGSERVICE", Full),
    keyword("servicefile", "PGSERVICEFILE", Full),
    keyword("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Full),
    keyword("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Full),
    keyword("sslcert", "PGSSLCERT", Full),
    keyword("sslcertmode", "PGSSLCERTMODE", Values(&["allow", "disable"])),
    // Nothing compresses any more: libpq ignores it too.
    keyword("sslcompression", "PGSSLCOMPRESSION", Full),
    keyword("sslcrl", "PGSSLCRL", Support::None),
    keyword("sslcrldir", "PGSSLCRLDIR", Support::None),
    keyword("sslkey", "PGSSLKEY", Full),
    bare("sslkeylogfile", Support::None),
    keyword("sslmode", "PGSSLMODE", Full),
    keyword("sslnegotiation", "PGSSLNEGOTIATION", Full),
    bare("sslpassword", Support::None),
    keyword("sslrootcert", "PGSSLROOTCERT", Full),
    keyword("sslsni", "PGSSLSNI", Full),
    keyword("target_session_attrs", "PGTARGETSESSIONATTRS", Full),
    bare("tcp_user_timeout", Full),
    keyword("user", "PGUSER", Full),
];
