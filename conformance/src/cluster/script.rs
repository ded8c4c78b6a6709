//! The steps of a synthetic base backup, with its fault.

use std::collections::VecDeque;

use bytes::Bytes;
use swiftwal_postgres::{BaseBackupEvent, Lsn, Timeline};

use super::SourceFault;

/// One step of a stream, for one call of `next`.
#[derive(Debug)]
pub(super) enum Step {
    Event(BaseBackupEvent),
    Fail,
    Stall,
}

/// Builds the steps, up to the fault.
pub(super) struct Script {
    steps: VecDeque<Step>,
    fault: Option<SourceFault>,
    bytes_left: usize,
    struck: bool,
}

impl Script {
    /// `before_label`: the number of bytes of tar that can be sent before the label is complete.
    pub(super) fn new(fault: Option<SourceFault>, before_label: usize) -> Self {
        let bytes_left = match fault {
            Some(
                SourceFault::FailsAfter(bytes)
                | SourceFault::StallsAfter(bytes)
                | SourceFault::TruncatedAfter(bytes),
            ) => bytes,
            Some(SourceFault::StallsBeforeTheLabel) => before_label,
            Some(
                SourceFault::NeverBegins
                | SourceFault::NeverFinishes
                | SourceFault::IsPromoted
                | SourceFault::LacksSummaries,
            )
            | None => usize::MAX,
        };
        let struck = fault == Some(SourceFault::NeverBegins);
        Self { steps: VecDeque::new(), fault, bytes_left, struck }
    }

    pub(super) fn event(&mut self, event: BaseBackupEvent) {
        if !self.struck {
            self.steps.push_back(Step::Event(event));
        }
    }

    pub(super) fn data(&mut self, mut chunk: Bytes) {
        if self.struck {
            return;
        }
        self.struck = chunk.len() >= self.bytes_left;
        chunk.truncate(self.bytes_left);
        self.bytes_left -= chunk.len();
        if !chunk.is_empty() {
            self.steps.push_back(Step::Event(BaseBackupEvent::Data(chunk)));
        }
    }

    pub(super) fn finish(mut self, lsn: Lsn, timeline: Timeline) -> VecDeque<Step> {
        let finished = Step::Event(BaseBackupEvent::Finished { lsn, timeline });
        match self.fault {
            Some(SourceFault::FailsAfter(_)) => self.steps.push_back(Step::Fail),
            Some(
                SourceFault::NeverBegins | SourceFault::StallsAfter(_) | SourceFault::StallsBeforeTheLabel,
            ) => self.steps.push_back(Step::Stall),
            Some(SourceFault::NeverFinishes) => {}
            Some(SourceFault::TruncatedAfter(_) | SourceFault::IsPromoted | SourceFault::LacksSummaries)
            | None => self.steps.push_back(finished),
        }
        self.steps
    }
}
