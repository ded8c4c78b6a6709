//! The assertions of `--sql`: queries that must be true in the restored cluster.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

use swiftwal_core::{Error, causes, read_regular_file};
use swiftwal_postgres::printable;

use super::problem::Problem;
use crate::isolated_server::IsolatedServer;

/// The largest file of assertions.
const MOST_BYTES: u64 = 1 << 20;
/// How much of a value is shown.
const VALUE_CHARACTERS: usize = 100;
/// Far longer than any query: the drill as a whole has a limit.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);
/// The SQLSTATE of a text that isn't SQL.
const SYNTAX_ERROR: &str = "42601";

/// A file with queries.
#[derive(Debug)]
pub(super) struct Assertions {
    file: PathBuf,
    text: String,
}

impl Assertions {
    /// Reads the file.
    pub(super) fn read(file: &Path) -> Result<Self, Error> {
        let local = |source| Error::Local { action: "read", path: file.to_owned(), source };
        let text = read_regular_file(file, MOST_BYTES).map_err(local)?;
        let text =
            String::from_utf8(text).map_err(|_| Error::Usage(format!("{} isn't UTF-8", file.display())))?;
        Ok(Self { file: file.to_owned(), text })
    }

    /// Runs the queries in a database, and returns how many there are. Every value of every row of each must be true.
    pub(super) async fn check(&self, server: &IsolatedServer, database: &str) -> Result<usize, Problem> {
        let connected = server.connect(database).await;
        let mut session = connected.map_err(|error| {
            Problem::NotProven(format!(
                "can't connect to the database of the assertions, {}: {}",
                printable(database),
                causes(&error)
            ))
        })?;
        let file = self.file.display();
        let results = session.results(&self.text, NO_LIMIT).await.map_err(|error| {
            let text = format!("the assertions in {file} can't be run: {}", causes(&error));
            match error.code() {
                Some(SYNTAX_ERROR) => Problem::NotProven(text),
                _ => Problem::Failed(text),
            }
        })?;
        if results.is_empty() {
            return Err(Problem::NotProven(format!("there is no query in {file}")));
        }
        match wrong_result(&results) {
            Some(wrong) => Err(Problem::Failed(format!("{wrong}, in {file}"))),
            None => Ok(results.len()),
        }
    }
}

/// Describes the first result that isn't true.
fn wrong_result<Value: Deref<Target = [u8]>>(results: &[Vec<Vec<Option<Value>>>]) -> Option<String> {
    (1..).zip(results).find_map(|(number, rows)| {
        let values: Vec<_> = rows.iter().flatten().map(Option::as_deref).collect();
        let wrong = match values.iter().find(|value| **value != Some(b"t")) {
            _ if rows.is_empty() => "no row".to_owned(),
            _ if values.is_empty() => "no column".to_owned(),
            Some(other) => format!("{} instead of true", shown(*other)),
            None => return None,
        };
        Some(format!("query {number} returned {wrong}"))
    })
}

/// Returns a value for a message.
fn shown(value: Option<&[u8]>) -> String {
    match value {
        None => "null".to_owned(),
        Some(b"f") => "false".to_owned(),
        Some(value) => {
            let value: String = printable(value).to_string().chars().take(VALUE_CHARACTERS).collect();
            format!("'{value}'")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<Vec<u8>> {
        Some(text.into())
    }

    #[test]
    fn each_value_of_each_row_must_be_true_and_there_must_be_one() {
        let truth = || vec![vec![value("t"), value("t")], vec![value("t"), value("t")]];
        assert_eq!(wrong_result(&[truth(), truth()]), None);
        for (second, wrong) in [
            (vec![vec![value("t")], vec![value("f")]], "false instead of true"),
            (vec![vec![value("t"), None]], "null instead of true"),
            (vec![vec![value("1\u{1b}")]], "'1\\x1b' instead of true"),
            (vec![], "no row"),
            (vec![vec![]], "no column"),
        ] {
            assert_eq!(wrong_result(&[truth(), second]), Some(format!("query 2 returned {wrong}")));
        }
    }
}
