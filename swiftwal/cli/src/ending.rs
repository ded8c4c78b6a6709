//! The end of a failed command: its last message, and its exit code.

use swiftwal_postgres::Timeline;

use crate::{
    exit::{Caller, Exit},
    failure::Failure,
    log,
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
        failure.report();
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
