//! Resolves complete settings, and checks them.

use std::{str::FromStr, time::Duration};

use super::{
    ChannelBinding, ConnInfo, ConnInfoError, ConnectConfig, ConnectionKind, Environment, Keepalive,
    TargetSession, config::passfile_database, hosts, tls,
};

pub(super) fn resolve(
    info: &ConnInfo,
    kind: ConnectionKind,
    environment: &Environment,
) -> Result<ConnectConfig, ConnInfoError> {
    let user = info.get("user").map(str::to_owned).or_else(|| environment.user.clone());
    let user = user.ok_or_else(|| {
        ConnInfoError::Value("the operating system's user has no name: set the user or PGUSER".to_owned())
    })?;
    let mut hosts = hosts::resolve(info)?;
    let database = passfile_database(kind, info.get("dbname"), &user);
    let warning = hosts::add_passwords(&mut hosts, &user, database, info, environment);
    Ok(ConnectConfig {
        hosts,
        load_balance: load_balance(info)?,
        target: target(info)?,
        user,
        kind,
        database: info.get("dbname").map(str::to_owned),
        tls: tls::resolve(info, environment)?,
        channel_binding: channel_binding(info)?,
        connect_timeout: seconds(info, "connect_timeout")?,
        keepalive: keepalive(info)?,
        tcp_user_timeout: positive(info, "tcp_user_timeout")?.map(Duration::from_millis),
        parameters: parameters(info),
        only_this_host: false,
        warnings: warning.into_iter().collect(),
    })
}

fn load_balance(info: &ConnInfo) -> Result<bool, ConnInfoError> {
    match info.get("load_balance_hosts") {
        None | Some("disable") => Ok(false),
        Some("random") => Ok(true),
        Some(value) => Err(ConnInfoError::value("load_balance_hosts", value)),
    }
}

fn target(info: &ConnInfo) -> Result<TargetSession, ConnInfoError> {
    match info.get("target_session_attrs") {
        None | Some("any") => Ok(TargetSession::Any),
        Some("read-write") => Ok(TargetSession::ReadWrite),
        Some("read-only") => Ok(TargetSession::ReadOnly),
        Some("primary") => Ok(TargetSession::Primary),
        Some("standby") => Ok(TargetSession::Standby),
        Some("prefer-standby") => Ok(TargetSession::PreferStandby),
        Some(value) => Err(ConnInfoError::value("target_session_attrs", value)),
    }
}

fn channel_binding(info: &ConnInfo) -> Result<ChannelBinding, ConnInfoError> {
    match info.get("channel_binding") {
        None | Some("prefer") => Ok(ChannelBinding::Prefer),
        Some("disable") => Ok(ChannelBinding::Disable),
        Some("require") => Ok(ChannelBinding::Require),
        Some(value) => Err(ConnInfoError::value("channel_binding", value)),
    }
}

fn keepalive(info: &ConnInfo) -> Result<Option<Keepalive>, ConnInfoError> {
    let is_off = number::<i32>(info, "keepalives")? == Some(0);
    let keepalive = Keepalive {
        idle: seconds(info, "keepalives_idle")?,
        interval: seconds(info, "keepalives_interval")?,
        count: positive(info, "keepalives_count")?.and_then(|count| count.try_into().ok()),
    };
    Ok(Some(keepalive).filter(|_| !is_off))
}

fn seconds(info: &ConnInfo, keyword: &str) -> Result<Option<Duration>, ConnInfoError> {
    Ok(positive(info, keyword)?.map(Duration::from_secs))
}

/// Returns a number; `None` if it isn't set or not above 0, which stands for the default.
fn positive(info: &ConnInfo, keyword: &str) -> Result<Option<u64>, ConnInfoError> {
    let number = number::<i32>(info, keyword)?;
    Ok(number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0))
}

fn number<T: FromStr>(info: &ConnInfo, keyword: &str) -> Result<Option<T>, ConnInfoError> {
    let Some(text) = info.get(keyword) else { return Ok(None) };
    match text.trim().parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(ConnInfoError::Value(format!(
            "invalid integer value \"{}\" for connection option \"{keyword}\"",
            crate::printable(text)
        ))),
    }
}

/// Returns the parameters of the startup message, beside the user and the database.
fn parameters(info: &ConnInfo) -> Vec<(String, String)> {
    let application = info.get("application_name").or_else(|| info.get("fallback_application_name"));
    // `auto` is the encoding of the locale, which messages of this client never depend on.
    let encoding =
        info.get("client_encoding").map(|encoding| if encoding == "auto" { "UTF8" } else { encoding });
    let all =
        [("application_name", application), ("client_encoding", encoding), ("options", info.get("options"))];
    let given = all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    given.collect()
}
