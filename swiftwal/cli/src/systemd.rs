//! Tells systemd what a service does: that it is ready, its status, and that it is alive. Without systemd nothing is told.
//!
//! A thread of its own sends, since that blocks if systemd doesn't read.

use std::{
    sync::mpsc::{Sender, channel},
    thread,
    time::Duration,
};

use sd_notify::{NotifyState, notify, watchdog_enabled};
use swiftwal_core::{Activity, Supervisor};

use crate::failure::Failure;

/// How long the end may wait until systemd knows of it.
const STOPPING: Duration = Duration::from_secs(1);

/// The systemd that has started this process, if it was that.
#[derive(Debug)]
pub(crate) struct Systemd(Sender<Message>);

/// Lines for systemd, and whom to tell that they were sent.
type Message = (String, Option<Sender<()>>);

impl Systemd {
    /// Starts the thread.
    pub(crate) fn start() -> Result<Self, Failure> {
        let (sender, messages) = channel::<Message>();
        let send = move || {
            for (lines, sent) in messages {
                if let Err(error) = notify(&[NotifyState::Custom(&lines)]) {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "can't tell systemd what the service does"
                    );
                }
                // It may wait no longer.
                let _ = sent.map(|sent| sent.send(()));
            }
        };
        thread::Builder::new().name("systemd".to_owned()).spawn(send).map_err(Failure::Runtime)?;
        Ok(Self(sender))
    }

    /// The service is about to end.
    pub(crate) fn stopping(&self) {
        let (sent, wait) = channel();
        self.tell(&[NotifyState::Stopping, NotifyState::Status("Storing what was received")], Some(sent));
        // The service ends in any case.
        let _ = wait.recv_timeout(STOPPING);
    }

    fn tell(&self, states: &[NotifyState<'_>], sent: Option<Sender<()>>) {
        let lines: Vec<_> = states.iter().map(ToString::to_string).collect();
        // The thread ends only together with the process.
        let _ = self.0.send((lines.join("\n"), sent));
    }
}

impl Supervisor for Systemd {
    fn alive_interval(&self) -> Option<Duration> {
        // So the disk of the spool may take two thirds of it.
        watchdog_enabled().map(|limit| limit / 3)
    }

    fn alive(&self) {
        self.tell(&[NotifyState::Watchdog], None);
    }

    fn activity(&self, activity: &Activity) {
        match activity {
            Activity::Receiving(timeline, start) => {
                let status = format!("Receiving WAL on timeline {timeline}, from {start} on");
                self.tell(&[NotifyState::Ready, NotifyState::Status(&status)], None);
            }
            Activity::Waiting(reason) => {
                // A status is one line.
                let status = format!("Not receiving WAL: {}", reason.replace('\n', " "));
                self.tell(&[NotifyState::Status(&status)], None);
            }
            _ => self.tell(&[NotifyState::Status("Connecting to the server")], None),
        }
    }
}
