//! The functions that run the scenarios. [`list`] names them all.

use std::{fmt, time::Duration};

use anyhow::{Result, anyhow, bail};
use futures::future::BoxFuture;

pub use self::list::scenarios;
use crate::{Harness, subject::Subject};

/// How long a scenario may take, on the slowest backend and the busiest machine: nothing may hang.
const LIMIT: Duration = Duration::from_secs(3600);

/// A fact about a backend, and the function that checks it.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// The fact, as `concept::sentence`.
    pub name: &'static str,
    run: fn(Subject) -> BoxFuture<'static, Result<()>>,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scenario").field(&self.name).finish()
    }
}

/// Runs one scenario on its own repository, in a thread of its own.
///
/// # Errors
///
/// Anything that prevented the check. A fact that doesn't hold panics at its place.
pub fn run(harness: &Harness, scenario: &str) -> Result<()> {
    let found = scenarios().into_iter().find(|known| known.name == scenario);
    let scenario = found.ok_or_else(|| anyhow!("there is no scenario {scenario}"))?;
    let subject = Subject::new(harness)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match tokio::time::timeout(LIMIT, (scenario.run)(subject)).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("{} took more than {LIMIT:?}", scenario.name),
        }
    })
}

/// Receives the list of scenarios. `$d` is a dollar sign, which a macro can't write otherwise.
macro_rules! suite {
    ($d:tt $($concept:ident { $($scenario:ident,)* })*) => {
        /// Returns every scenario.
        #[must_use]
        pub fn scenarios() -> Vec<Scenario> {
            vec![$($(Scenario {
                name: concat!(stringify!($concept), "::", stringify!($scenario)),
                run: |subject| Box::pin($concept::$scenario(subject)),
            },)*)*]
        }

        /// Runs the whole suite: each scenario becomes a test, `concept::sentence`.
        ///
        /// It takes an expression that creates a [`Harness`](crate::Harness), and is called in a test file or a
        /// module of its own. The first page of this crate's documentation has an example. Attributes may follow,
        /// which every test gets, such as one for a backend whose server isn't always available:
        ///
        /// ```ignore
        /// conformance_suite!(harness(), #[ignore = "needs a server"]);
        /// ```
        #[macro_export]
        macro_rules! conformance_suite {
            ($d harness:expr $d (, #[$d attribute:meta])*) => {
                fn conformance_harness() -> $d crate::Harness {
                    $d harness
                }

                $(mod $concept {
                    $(#[test]
                    $d (#[$d attribute])*
                    fn $scenario() -> $d crate::Outcome {
                        let name = concat!(stringify!($concept), "::", stringify!($scenario));
                        $d crate::run(&super::conformance_harness(), name)
                    })*
                })*
            };
        }
    };
}

mod list;
