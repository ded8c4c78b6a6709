//! Tests of connection settings, by what libpq does.

mod files;
mod strings;
mod values;

use super::{ConnInfo, ConnectConfig, Environment};

/// An environment with these variables, whose home directory doesn't exist.
fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment {
        variables: variables.collect(),
        home: Some("/nonexistent".into()),
        user: Some("me".to_owned()),
    }
}

fn resolved(text: &str, variables: &[(&str, &str)]) -> ConnectConfig {
    ConnInfo::parse(text).unwrap().resolve(&environment(variables)).unwrap()
}

/// Returns the complaint about a string, at whatever step it comes.
fn refusal(text: &str, variables: &[(&str, &str)]) -> String {
    let resolved = ConnInfo::parse(text).and_then(|info| info.resolve(&environment(variables)));
    resolved.expect_err(text).to_string()
}
