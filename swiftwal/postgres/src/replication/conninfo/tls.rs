//! Resolves the settings of TLS.

use std::path::PathBuf;

use super::{ConnInfo, ConnInfoError, Environment};

/// The settings of TLS, which Unix sockets never use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSettings {
    /// Whether TLS is used, and what is verified.
    pub mode: SslMode,
    /// How TLS begins.
    pub negotiation: SslNegotiation,
    /// The certificates that are trusted; `None` if the server's certificate isn't verified. The file may be missing, which
    /// matters only when TLS begins.
    pub roots: Option<Roots>,
    /// The list of revoked certificates, which this client doesn't support: it refuses to verify without it.
    pub revoked: Option<PathBuf>,
    /// The certificate that the server may ask for.
    pub client: Option<ClientCertificate>,
    /// Whether the host's name is sent unencrypted, so that a proxy can route the connection.
    pub sends_name: bool,
    /// The oldest version.
    pub oldest: TlsVersion,
    /// The newest version.
    pub newest: TlsVersion,
}

/// Whether TLS is used, and what is verified: `sslmode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS only if the server refuses a connection without.
    Allow,
    /// No TLS only if the server doesn't support it, or refuses the connection with it.
    #[default]
    Prefer,
    /// TLS, with any certificate; with root certificates as [`Self::VerifyCa`].
    Require,
    /// TLS, with a certificate that a trusted authority has signed.
    VerifyCa,
    /// In addition, the certificate must be for the host.
    VerifyFull,
}

/// How TLS begins: `sslnegotiation`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SslNegotiation {
    /// After the server has agreed.
    #[default]
    Postgres,
    /// At once; version 17 and later.
    Direct,
}

/// The certificates that are trusted: `sslrootcert`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those of the operating system.
    System,
    /// Those in this file.
    File(PathBuf),
}

/// A client certificate: `sslcert` and `sslkey`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The file of the certificate, and of those between it and the authority.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
}

/// A version of TLS that this client supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2.
    V12,
    /// 1.3.
    V13,
}

pub(super) fn resolve(info: &ConnInfo, environment: &Environment) -> Result<TlsSettings, ConnInfoError> {
    let given_roots = info.get("sslrootcert");
    let default_mode = if given_roots == Some("system") { SslMode::VerifyFull } else { SslMode::Prefer };
    let mode = mode(info)?.unwrap_or(default_mode);
    let negotiation = negotiation(info)?;
    refuse_weak(mode, given_roots, negotiation)?;
    let (oldest, newest) = versions(info)?;
    Ok(TlsSettings {
        mode,
        negotiation,
        roots: roots(mode, given_roots, environment),
        revoked: environment.in_home(".postgresql/root.crl").filter(|file| file.exists()),
        client: client_certificate(info, environment),
        sends_name: sends_name(info)?,
        oldest,
        newest,
    })
}

fn mode(info: &ConnInfo) -> Result<Option<SslMode>, ConnInfoError> {
    let Some(value) = info.get("sslmode") else { return Ok(None) };
    let mode = match value {
        "disable" => SslMode::Disable,
        "allow" => SslMode::Allow,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return Err(ConnInfoError::value("sslmode", value)),
    };
    Ok(Some(mode))
}

fn negotiation(info: &ConnInfo) -> Result<SslNegotiation, ConnInfoError> {
    match info.get("sslnegotiation") {
        None | Some("postgres") => Ok(SslNegotiation::Postgres),
        Some("direct") => Ok(SslNegotiation::Direct),
        Some(value) => Err(ConnInfoError::value("sslnegotiation", value)),
    }
}

fn refuse_weak(mode: SslMode, roots: Option<&str>, negotiation: SslNegotiation) -> Result<(), ConnInfoError> {
    let name = match mode {
        SslMode::Disable => "disable",
        SslMode::Allow => "allow",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    };
    let problem = if roots == Some("system") && mode < SslMode::VerifyFull {
        "may not be used with sslrootcert=system (use \"verify-full\")"
    } else if negotiation == SslNegotiation::Direct && mode < SslMode::Require {
        "may not be used with sslnegotiation=direct (use \"require\", \"verify-ca\", or \"verify-full\")"
    } else {
        return Ok(());
    };
    Err(ConnInfoError::Value(format!("weak sslmode \"{name}\" {problem}")))
}

/// The default file counts if it exists: then even `require` verifies the authority, as in libpq. Below that nothing is
/// verified: a failure would only lead to a connection without TLS.
fn roots(mode: SslMode, given: Option<&str>, environment: &Environment) -> Option<Roots> {
    if given == Some("system") {
        return Some(Roots::System);
    }
    let file = given.map(PathBuf::from).or_else(|| environment.in_home(".postgresql/root.crt"))?;
    let counts = mode >= SslMode::VerifyCa || (mode == SslMode::Require && file.exists());
    counts.then_some(Roots::File(file))
}

/// libpq connects without a certificate if the file doesn't exist.
fn client_certificate(info: &ConnInfo, environment: &Environment) -> Option<ClientCertificate> {
    let given = info.get("sslcert").map(PathBuf::from);
    let certificate = given.or_else(|| environment.in_home(".postgresql/postgresql.crt"))?;
    if !certificate.exists() || info.get("sslcertmode") == Some("disable") {
        return None;
    }
    let given = info.get("sslkey").map(PathBuf::from);
    let key = given.or_else(|| environment.in_home(".postgresql/postgresql.key")).unwrap_or_default();
    Some(ClientCertificate { certificate, key })
}

fn sends_name(info: &ConnInfo) -> Result<bool, ConnInfoError> {
    match info.get("sslsni") {
        None | Some("1") => Ok(true),
        Some("0") => Ok(false),
        Some(value) => Err(ConnInfoError::value("sslsni", value)),
    }
}

fn versions(info: &ConnInfo) -> Result<(TlsVersion, TlsVersion), ConnInfoError> {
    let oldest = match info.get("ssl_min_protocol_version") {
        // This client never uses an older version than 1.2.
        None | Some("TLSv1" | "TLSv1.1" | "TLSv1.2") => TlsVersion::V12,
        Some("TLSv1.3") => TlsVersion::V13,
        Some(value) => return Err(ConnInfoError::value("ssl_min_protocol_version", value)),
    };
    let newest = match info.get("ssl_max_protocol_version") {
        None | Some("TLSv1.3") => TlsVersion::V13,
        Some("TLSv1.2") => TlsVersion::V12,
        Some(value @ ("TLSv1" | "TLSv1.1")) => {
            return Err(ConnInfoError::Unsupported { setting: format!("ssl_max_protocol_version={value}") });
        }
        Some(value) => return Err(ConnInfoError::value("ssl_max_protocol_version", value)),
    };
    if oldest > newest {
        return Err(ConnInfoError::Value("invalid SSL protocol version range".to_owned()));
    }
    Ok((oldest, newest))
}
