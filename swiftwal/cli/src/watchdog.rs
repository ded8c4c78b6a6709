//! Stops the command on a signal or at its deadline, in a thread that nothing else can block.
//!
//! Every command runs under one watchdog, which is started before anything that may block, including the reading of the
//! configuration. It first asks the command to stop, so that it can clean up. If that doesn't help, because a thread
//! hangs in the kernel (a mount whose server is gone, a pipe without a reader), it ends the process with the documented
//! exit code.

use std::{
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime,
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    deadline::Deadline,
    ending::Ending,
    exit::Exit,
    failure::Failure,
    signal::Signals,
    stop::{MissedDeadline, Stop},
    within::within,
};

/// The time in which a command must notice that it is to stop. If it doesn't, it is blocked, and can't clean up either.
const NOTICING: Duration = Duration::from_secs(2);
/// How long the last message may take: stderr may be a pipe without a reader.
const LAST_MESSAGE: Duration = Duration::from_secs(2);

/// The limits of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The deadline of the whole command.
    pub(crate) deadline: Deadline,
    /// How long the command may take to clean up after it was stopped.
    pub(crate) clearing: Duration,
}

/// Stops the command on a signal or at its deadline.
#[derive(Debug)]
pub(crate) struct Watchdog {
    stop: watch::Receiver<Option<Stop>>,
    state: Arc<State>,
    deadline: Deadline,
    began: Instant,
    allowed: watch::Sender<Option<Duration>>,
}

/// The state that the command reports to its watchdog.
#[derive(Debug)]
struct State {
    doing: Mutex<String>,
    /// The command has noticed that it is to stop.
    noticed: AtomicBool,
    /// The command has printed its last message.
    reported: AtomicBool,
}

impl Watchdog {
    /// Starts the thread. `ending` says how the process ends if the command can't end it.
    pub(crate) fn start(limits: Limits, ending: Ending) -> Result<Self, Failure> {
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
        let began = Instant::now();
        let (allowed, mut allowance) = watch::channel(limits.deadline.allowed(0));
        let (tell, stop) = watch::channel(None);
        let state = Arc::new(State {
            doing: Mutex::new("starting".to_owned()),
            noticed: AtomicBool::new(false),
            reported: AtomicBool::new(false),
        });
        let mut signals = {
            let _inside = runtime.enter();
            Signals::listen().map_err(Failure::Runtime)?
        };
        let watched = Arc::clone(&state);
        let watch = async move {
            let first = first_stop(&mut signals, began, &mut allowance, &watched).await;
            // The receiver is gone if the command has ended.
            let _ = tell.send(Some(first.clone()));
            let last = last_stop(&mut signals, first, limits.clearing, &watched).await;
            end_process(last, ending, &watched)
        };
        let thread = thread::Builder::new().name("watchdog".to_owned());
        thread.spawn(move || runtime.block_on(watch)).map_err(Failure::Runtime)?;
        Ok(Self { stop, state, deadline: limits.deadline, began, allowed })
    }

    /// Records what the command does next, such as "reading the configuration", for the message at the deadline.
    pub(crate) fn doing(&self, what: impl Into<String>) {
        *self.state.doing.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }

    /// Adds the time that a WAL file of this size needs, unless `--deadline` was given.
    pub(crate) fn allow_for(&self, bytes: u64) {
        let allowed = self.deadline.allowed(bytes);
        self.allowed.send_if_modified(|before| {
            let is_more = allowed > *before;
            if is_more {
                *before = allowed;
            }
            is_more
        });
    }

    /// Returns the time until the deadline, if there is one.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.allowed.borrow().map(|allowed| allowed.saturating_sub(self.began.elapsed()))
    }

    /// Returns when the command must stop. From then on it has a limited time to clean up.
    pub(crate) async fn stopped(&self) -> Stop {
        let mut stop = self.stop.clone();
        loop {
            let asked = stop.borrow_and_update().clone();
            if let Some(asked) = asked {
                self.state.noticed.store(true, Ordering::Relaxed);
                return asked;
            }
            if stop.changed().await.is_err() {
                // The thread ends only together with the process.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Runs `work` until it is done or the command is stopped; then `work` is dropped, which undoes it.
    pub(crate) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            // Checked first: otherwise the failure of a child process that the same Ctrl-C has killed would be reported
            // as the reason.
            biased;
            stop = self.stopped() => Err(Failure::Stopped(stop)),
            done = work => done,
        }
    }

    /// Records that the command is about to print its last message.
    pub(crate) fn reporting(&self) {
        self.state.reported.store(true, Ordering::Relaxed);
    }
}

/// Waits for a signal or the deadline.
async fn first_stop(
    signals: &mut Signals,
    began: Instant,
    allowance: &mut watch::Receiver<Option<Duration>>,
    state: &State,
) -> Stop {
    loop {
        let allowed = *allowance.borrow_and_update();
        tokio::select! {
            signal = signals.next() => return Stop::Signal(signal),
            // The sender is gone if the command has ended.
            Ok(()) = allowance.changed() => {}
            allowed = passed(began, allowed) => {
                let doing = state.doing.lock().unwrap_or_else(PoisonError::into_inner).clone();
                return Stop::Deadline(MissedDeadline { allowed, doing });
            }
        }
    }
}

/// Waits until the allowed time is over, or for ever if there is no limit; returns that time.
async fn passed(began: Instant, allowed: Option<Duration>) -> Duration {
    match allowed.and_then(|allowed| Some((allowed, began.checked_add(allowed)?))) {
        Some((allowed, end)) => {
            sleep_until(end).await;
            allowed
        }
        None => std::future::pending().await,
    }
}

/// Waits until the time for cleaning up is over, or another signal arrives.
async fn last_stop(signals: &mut Signals, first: Stop, clearing: Duration, state: &State) -> Stop {
    let patience = async {
        let noticing = NOTICING.min(clearing);
        sleep(noticing).await;
        if state.noticed.load(Ordering::Relaxed) {
            sleep(clearing.saturating_sub(noticing)).await;
        }
    };
    tokio::select! {
        signal = signals.next() => Stop::Signal(signal),
        () = patience => first,
    }
}

/// Ends the process, even if its other threads hang.
fn end_process(stop: Stop, ending: Ending, state: &State) -> ! {
    let failure = Arc::new(Failure::Stopped(stop));
    let last = Arc::clone(&failure);
    let exit = if state.reported.load(Ordering::Relaxed) {
        None
    } else {
        within("last message", LAST_MESSAGE, move || ending.report(&last))
    };
    let exit = exit.unwrap_or_else(|| Exit::of(&failure, ending.caller));
    process::exit(i32::from(exit as u8))
}
#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_time_that_is_allowed_may_change_while_the_command_runs() {
        let (allowed, mut allowance) = watch::channel(None);
        let state = State {
            doing: Mutex::new("storing".to_owned()),
            noticed: AtomicBool::new(false),
            reported: AtomicBool::new(false),
        };
        let mut signals = Signals::listen().unwrap();
        let stopped = first_stop(&mut signals, Instant::now(), &mut allowance, &state);
        let change = async { allowed.send(Some(Duration::ZERO)).unwrap() };
        let (stop, ()) = tokio::join!(stopped, change);
        let missed = MissedDeadline { allowed: Duration::ZERO, doing: "storing".to_owned() };
        assert_eq!(stop, Stop::Deadline(missed));
    }
}
