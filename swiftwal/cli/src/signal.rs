//! SIGINT and SIGTERM in the middle of a command.

use std::{fmt, io, process, thread, time::Duration};

use tokio::{
    runtime,
    signal::unix::{self, SignalKind},
    sync::oneshot,
    time::timeout,
};

use crate::{
    command::LAST_WRITES,
    exit::{Caller, Exit},
    failure::Failure,
};

/// A signal that asks the program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// Does `work` until it is done or a signal asks to stop; then `work` is dropped, which undoes it, and the
/// caller may still await what is left to clean up. A second signal ends the process at once; and a command that
/// PostgreSQL waits for ends soon after the first one, whatever it hangs in.
pub(crate) async fn interruptible<T>(
    caller: Caller,
    work: impl Future<Output = Result<T, Failure>> + Send,
) -> Result<T, Failure> {
    let signalled = watch(caller)?;
    tokio::select! {
        // First, so that the failure of a child which the same Ctrl-C has killed isn't taken for the reason.
        biased;
        Ok(signal) = signalled => Err(Failure::Stopped(signal)),
        done = work => done,
    }
}

/// For how long after the first signal the process may live: the end of a command that PostgreSQL waits for takes
/// up to [`LAST_WRITES`] by itself. What a person or a script stopped may have much to clean up.
const fn grace(caller: Caller) -> Duration {
    match caller {
        Caller::Anyone => Duration::MAX,
        Caller::ArchiveCommand | Caller::RestoreCommand => LAST_WRITES.saturating_mul(2),
    }
}

/// Waits for signals on a thread of their own, so that they count whatever the others hang in. Tells the first; the second
/// ends the process.
pub(crate) fn watch(caller: Caller) -> Result<oneshot::Receiver<Signal>, Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let (tell, signalled) = oneshot::channel();
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen().map_err(Failure::Runtime)?
    };
    let wait = async move {
        let first = signals.next().await;
        // The receiver is gone if the work is done, or is being ended for another reason.
        let _ = tell.send(first);
        let last = timeout(grace(caller), signals.next()).await.unwrap_or(first);
        process::exit(Exit::of(&Failure::Stopped(last), caller) as i32);
    };
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || runtime.block_on(wait)).map_err(Failure::Runtime)?;
    Ok(signalled)
}

struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}
