use std::{
    io::Write,
    sync::{Mutex, MutexGuard, PoisonError},
};

use swiftwal_core::BackupEvent;
use tokio::sync::oneshot;

use crate::{
    failure::Failure,
    output::Output,
    progress::{Done, Progress},
};

/// Tells people what happens during a backup.
pub(super) struct Reporter<'a> {
    output: Output,
    location: &'a str,
    progress: Progress,
    unheard: Mutex<Option<oneshot::Sender<Failure>>>,
}

impl<'a> Reporter<'a> {
    /// The receiver gets the reason why standard output can't be written to, if that happens.
    pub(super) fn new(
        output: Output,
        location: &'a str,
        progress: bool,
    ) -> (Self, oneshot::Receiver<Failure>) {
        let (unheard, receiver) = oneshot::channel();
        let progress = Progress::new(progress);
        let unheard = Mutex::new(Some(unheard));
        (Self { output, location, progress, unheard }, receiver)
    }

    pub(super) fn report(&self, event: BackupEvent<'_>) {
        match event {
            BackupEvent::Claimed(key) => {
                self.print(|out| writeln!(out, "Creating backup {key} in {}", self.location));
            }
            BackupEvent::Label(label) if self.output.verbose => {
                self.print(|out| out.write_all(label.as_str().as_bytes()));
            }
            BackupEvent::Progress { tar_bytes, stored_bytes } => {
                self.progress.show(Done { bytes: tar_bytes, of: None, stored: Some(stored_bytes) });
            }
            BackupEvent::WaitingForWal(segment) => {
                self.progress.suspend(|| tracing::info!("waiting for {segment} to be archived"));
            }
            _ => {}
        }
    }

    /// The backup is committed.
    pub(super) fn finish(&self) {
        self.progress.finish();
    }

    fn print(&self, render: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) {
        if self.output.json {
            return;
        }
        if let Err(failure) = self.progress.suspend(|| self.output.text(render))
            && let Some(unheard) = self.unheard().take()
        {
            // Nobody listens only if the backup is over.
            drop(unheard.send(failure));
        }
    }

    fn unheard(&self) -> MutexGuard<'_, Option<oneshot::Sender<Failure>>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
