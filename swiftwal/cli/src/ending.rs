//! The end of a failed command: its last message, and its exit code.

use std::io::{Write, stdout};

use swiftwal_postgres::Timeline;

use crate::{
    exit::{Caller, Exit},
    failure::Failure,
    log,
    message::chain,
    nagios::{State, line},
};

/// How a failed command ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// The program that acts on the exit code.
    pub(crate) caller: Caller,
    /// The timeline whose history restore-wal is to fetch.
    pub(crate) history: Option<Timeline>,
}

impl Ending {
    /// Prints why the command failed, and returns its exit code.
    pub(crate) fn report(self, failure: &Failure) -> Exit {
        match self.caller {
            Caller::Monitoring => say_unknown(failure),
            _ => failure.report(),
        }
        let exit = Exit::of(failure, self.caller);
        if let Some(timeline) = self.history
            && exit == Exit::Failure
            && !failure.is_proven_absence()
            && !matches!(failure, Failure::TimelineInUse { .. })
        {
            log::say(format_args!(
                "warning: it isn't known whether timeline {timeline} is in use, and a standby takes every failure for \"not in \
                 use\". If this server is promoted now, it may take a timeline that another server has: make sure that the \
                 repository can be read before you promote"
            ));
        }
        exit
    }
}

/// Prints the answer of a monitoring plugin that couldn't look, unless it has printed one.
fn say_unknown(failure: &Failure) {
    if !matches!(failure, Failure::Alert(_)) {
        // Without a reader, only the exit code tells.
        drop(writeln!(stdout(), "{}", line(State::Unknown, &chain(failure))));
    }
}
