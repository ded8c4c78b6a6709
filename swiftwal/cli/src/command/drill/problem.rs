//! The reasons why a drill doesn't pass.

use swiftwal_core::{Error, ErrorKind, Refusal};

use crate::{
    failure::Failure,
    isolated_server::{IsolationError, Ran, ServerLog, is_of_this_machine},
    message::chain,
};

/// The reason why a drill doesn't pass.
#[derive(Debug)]
pub(super) enum Problem {
    /// Something is wrong with the backup, or the WAL that it needs.
    Failed(String),
    /// Nothing wrong was found, but not everything could be looked at.
    NotProven(String),
    /// The drill couldn't begin.
    Refused(Failure),
}

impl From<Error> for Problem {
    /// The problem that a failed restore is.
    fn from(error: Error) -> Self {
        match (&error, error.kind()) {
            (Error::Refused(Refusal::Incomplete { .. }), _) | (_, ErrorKind::Damaged) => {
                Self::Failed(chain(&error))
            }
            (_, ErrorKind::Failed | ErrorKind::TimedOut | ErrorKind::Stopped) => {
                Self::NotProven(chain(&error))
            }
            _ => Self::Refused(error.into()),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<IsolationError> for Problem {
    fn from(error: IsolationError) -> Self {
        Self::Refused(error.into())
    }
}

impl Problem {
    /// The problem that a program of PostgreSQL has reported.
    pub(super) fn reported_by(name: &str, ran: &Ran) -> Self {
        let Some(code) = ran.code else {
            return Self::NotProven(format!("{name} was killed by a signal"));
        };
        let text = match ran.output.as_str() {
            "" => format!("{name} failed with exit code {code}"),
            output => format!("{name} found a problem:\n{output}"),
        };
        let mut errors = ran.output.lines().filter(|line| is_error(line)).peekable();
        if errors.peek().is_some() && errors.all(is_of_this_machine) {
            Self::NotProven(text)
        } else {
            Self::Failed(text)
        }
    }

    /// The problem of a server that has ended by itself.
    pub(super) fn of_ended_server(ended: impl std::fmt::Display, log: &ServerLog) -> Self {
        if log.creates_tablespace {
            return Self::NotProven(format!(
                "the WAL after the backup creates a tablespace, and a drill uses no directory but its own; take a new backup, \
                 or recover to a target before that. The server's log ends with:\n{}",
                log.last_lines()
            ));
        }
        let text =
            format!("the server on the backup ended ({ended}). Its log ends with:\n{}", log.last_lines());
        if log.is_no_fault_of_the_backup && !log.lacks_wal {
            Self::NotProven(text)
        } else {
            Self::Failed(text)
        }
    }
}

/// Whether a line of the output of pg_amcheck or pg_dumpall is the message itself: pg_amcheck indents what it found.
fn is_error(line: &str) -> bool {
    let is_detail = ["DETAIL:", "HINT:", "CONTEXT:", "QUERY:"].iter().any(|word| line.contains(word));
    !is_detail && (line.starts_with("    ") || ["ERROR:", "FATAL:"].iter().any(|word| line.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(code: Option<i32>, output: &str) -> Problem {
        Problem::reported_by("pg_amcheck", &Ran { code, output: output.to_owned() })
    }

    #[test]
    fn damaged_data_is_a_failure_and_what_this_machine_lacks_is_not() {
        let lacks = "btree index \"postgres.public.i\":\n    ERROR:  could not access file \"$libdir/postgis-3\": No such file\n";
        let damaged = "heap table \"postgres.public.t\", block 0, offset 1:\n    line pointer length 0 is less than 24\n";
        assert!(matches!(reported(Some(2), lacks), Problem::NotProven(_)));
        assert!(matches!(reported(Some(2), damaged), Problem::Failed(_)));
        assert!(matches!(reported(Some(2), &format!("{lacks}{damaged}")), Problem::Failed(_)));
        assert!(matches!(reported(Some(1), ""), Problem::Failed(_)));
        assert!(matches!(reported(None, damaged), Problem::NotProven(_)));
    }
}
