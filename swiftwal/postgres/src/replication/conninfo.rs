//! Resolves connection settings by libpq's rules.
//!
//! A setting comes from the first of these places that has it: the connection string ([`ConnInfo::parse`], or
//! [`ConnInfo::set`] for an option of a command line), the service file, the environment, libpq's default. All of the
//! environment is passed in as [`Environment`], so that a caller decides what counts.
//!
//! The rules are those of libpq 18, for a program like `pg_basebackup`: in the password file, the database is
//! `replication`. A keyword of libpq that this client doesn't support is an error that names it
//! ([`ConnInfoError::Unsupported`]), whether it comes from the string, a service or a variable; an unknown keyword is
//! an error as in libpq. Unlike libpq, a number that is out of range is an error too.
//!
//! Source: PostgreSQL's `src/interfaces/libpq/fe-connect.c`.

mod config;
mod environment;
mod error;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod hosts;
mod key_value;
mod keywords;
mod passfile;
mod resolve;
mod service;
#[cfg(test)]
mod tests;
mod tls;
mod uri;

use std::{collections::BTreeMap, fmt};

#[cfg(any(test, fuzzing))]
pub(crate) use self::fuzz::connection_settings;
use self::keywords::Keyword;
pub use self::{
    config::{ChannelBinding, ConnectConfig, ConnectionKind, Host, Keepalive, Place, TargetSession},
    environment::Environment,
    error::ConnInfoError,
    tls::{ClientCertificate, Roots, SslMode, SslNegotiation, TlsSettings, TlsVersion},
};

/// Connection settings as they were given, by keyword. `Debug` shows only the keywords, since a value may be a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConnInfo {
    values: BTreeMap<&'static str, String>,
}

impl ConnInfo {
    /// Parses a connection string: `keyword=value` pairs, or a URI that begins with `postgresql://` or `postgres://`. The
    /// empty string sets nothing.
    ///
    /// # Errors
    ///
    /// Syntax errors, and keywords that libpq doesn't have. Values are checked by [`Self::resolve`].
    pub fn parse(text: &str) -> Result<Self, ConnInfoError> {
        let mut info = Self::default();
        match uri::without_scheme(text) {
            Some(rest) => uri::parse(rest, &mut info)?,
            None => key_value::parse(text, &mut info)?,
        }
        Ok(info)
    }

    /// Sets a keyword, replacing its value.
    ///
    /// # Errors
    ///
    /// libpq has no such keyword.
    pub fn set(&mut self, keyword: &str, value: impl Into<String>) -> Result<(), ConnInfoError> {
        let value = value.into();
        // The name of this setting before libpq had `sslmode`.
        let (keyword, value) = match keyword {
            "requiressl" if value.starts_with('1') => ("sslmode", "require".to_owned()),
            "requiressl" => ("sslmode", "prefer".to_owned()),
            _ => (keyword, value),
        };
        let known = Keyword::find(keyword).ok_or_else(|| ConnInfoError::unknown(keyword))?;
        self.values.insert(known.name, value);
        Ok(())
    }

    /// Whether a keyword is set to anything.
    pub fn sets(&self, keyword: &str) -> bool {
        self.get(keyword).is_some()
    }

    /// Whether a password is set, of the role or of a key.
    pub fn sets_password(&self) -> bool {
        self.sets("password") || self.sets("sslpassword")
    }

    /// Returns the settings as a connection string for libpq.
    pub fn connection_string(&self) -> String {
        key_value::written(self.values.iter().map(|(keyword, value)| (*keyword, value.as_str())))
    }

    /// Adds the settings of the service file and the environment, and libpq's defaults; checks all of them, and looks up the
    /// passwords.
    pub fn resolve(&self, environment: &Environment) -> Result<ConnectConfig, ConnInfoError> {
        self.resolve_for(ConnectionKind::Replication, environment)
    }

    /// As [`Self::resolve`], for a connection that takes SQL: the password file is searched for its database.
    pub fn resolve_for_sql(&self, environment: &Environment) -> Result<ConnectConfig, ConnInfoError> {
        self.resolve_for(ConnectionKind::Sql, environment)
    }

    fn resolve_for(
        &self,
        kind: ConnectionKind,
        environment: &Environment,
    ) -> Result<ConnectConfig, ConnInfoError> {
        let mut all = self.clone();
        service::add(&mut all, environment)?;
        environment.add(&mut all);
        all.refuse_unsupported()?;
        resolve::resolve(&all, kind, environment)
    }

    /// Returns the value of a keyword; `None` if it isn't set or empty.
    fn get(&self, keyword: &str) -> Option<&str> {
        self.values.get(keyword).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Sets a keyword of libpq unless it is set.
    fn set_default(&mut self, keyword: &'static str, value: &str) {
        self.values.entry(keyword).or_insert_with(|| value.to_owned());
    }

    fn refuse_unsupported(&self) -> Result<(), ConnInfoError> {
        let unsupported = |(name, value): &(&&'static str, &String)| {
            Keyword::find(name).is_some_and(|keyword| !keyword.supports(value))
        };
        match self.values.iter().find(unsupported) {
            Some((name, value)) => Err(ConnInfoError::unsupported(name, value)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
