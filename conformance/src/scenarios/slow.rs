//! A storage that answers byte by byte, or not at all. A command that is stopped meanwhile, as at its deadline, leaves
//! nothing on this machine, acknowledges nothing, and can be repeated.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use swiftwal_core::Error;

use super::{
    command::{Command, Scene, is_rightly_absent},
    snapshot::Snapshot,
};
use crate::{
    faulty::{Call, Faults, ReadFault, WriteFault},
    subject::Subject,
};

/// The numbers of bytes after which a command is stopped.
const BYTES: [usize; 4] = [0, 1, 100, 4000];

pub(crate) async fn what_trickles_is_taken_whole_by_every_command(subject: Subject) -> Result<()> {
    let scene = Scene::new(subject).await?;
    let whole = Snapshot::of(&scene.site.subject).await?;
    for command in Command::ALL {
        let faults = Faults::trickling();
        let repository = scene.site.subject.repository_with(&faults)?;
        let giving = async {
            loop {
                faults.wanted().await;
                faults.give();
            }
        };
        let outcome = tokio::select! {
            outcome = command.run(&scene, &repository) => outcome,
            () = giving => unreachable!("it never ends"),
        };
        let is_right = outcome.as_ref().err().is_none_or(|error| is_rightly_absent(command, error));
        assert!(is_right, "{command:?}: {outcome:?}");
        command.check(&scene, outcome.is_ok()).await.with_context(|| format!("{command:?}"))?;
        whole.put_back(&scene.site.subject).await?;
    }
    Ok(())
}

pub(crate) async fn a_command_that_is_ended_while_bytes_trickle_leaves_nothing_and_can_be_repeated(
    subject: Subject,
) -> Result<()> {
    let scene = Scene::new(subject).await?;
    let whole = Snapshot::of(&scene.site.subject).await?;
    let table = Command::ALL.into_iter().flat_map(|command| BYTES.map(|bytes| (command, bytes)));
    for (command, bytes) in scene.site.subject.harness().cases(table) {
        let faults = Faults::trickling();
        let ended = async {
            for _ in 0..bytes {
                faults.wanted().await;
                faults.give();
            }
            faults.wanted().await;
        };
        end_and_repeat(&scene, command, &faults, ended)
            .await
            .with_context(|| format!("{command:?} after {bytes} bytes"))?;
        whole.put_back(&scene.site.subject).await?;
    }
    Ok(())
}

/// The matrix of command × kind of call: the call, or its response, is lost.
pub(crate) async fn a_command_that_is_ended_while_a_call_hangs_leaves_nothing_and_can_be_repeated(
    subject: Subject,
) -> Result<()> {
    let scene = Scene::new(subject).await?;
    let whole = Snapshot::of(&scene.site.subject).await?;
    let mut table = Vec::new();
    for command in Command::ALL {
        let calls = Faults::none();
        let outcome = command.run(&scene, &scene.site.subject.repository_with(&calls)?).await;
        command.check(&scene, outcome.is_ok()).await?;
        whole.put_back(&scene.site.subject).await?;
        table.extend(hanging_at_each_kind(&calls).into_iter().map(|faults| (command, faults)));
    }
    for (command, faults) in scene.site.subject.harness().cases(table) {
        end_and_repeat(&scene, command, &faults, faults.hung())
            .await
            .with_context(|| format!("{command:?} with {faults:?}"))?;
        whole.put_back(&scene.site.subject).await?;
    }
    Ok(())
}

/// Runs the command until `ended` is ready, unless it finishes before; then once more, on a storage without faults.
async fn end_and_repeat(
    scene: &Scene,
    command: Command,
    faults: &Faults,
    ended: impl Future<Output = ()>,
) -> Result<()> {
    let repository = scene.site.subject.repository_with(faults)?;
    let outcome = tokio::select! {
        outcome = command.run(scene, &repository) => Some(outcome),
        () = ended => None,
    };
    let succeeded = matches!(outcome, Some(Ok(())));
    command.settle(scene, succeeded).await;
    command.check(scene, succeeded).await?;
    if !succeeded || !command.changes() {
        let again: Result<(), Error> = command.run(scene, &scene.site.repository).await;
        let is_right = |error| is_rightly_absent(command, error) || is_done(command, error);
        assert!(again.as_ref().err().is_none_or(is_right), "{command:?} again: {again:?}");
        command.check(scene, again.is_ok()).await?;
    }
    Ok(())
}

/// Whether the command reports that nothing is left to do: only the response to its last call was lost.
fn is_done(command: Command, error: &Error) -> bool {
    command == Command::DiscardTimeline && error.to_string().contains("there is no timeline 2")
}

/// Returns faults at the first call of each kind that was made.
fn hanging_at_each_kind(calls: &Faults) -> Vec<Faults> {
    let reads = calls.reads().into_iter().map(|object| Call { action: "read", object });
    let reads = first_of_each_kind(reads).into_iter().map(|n| Faults::at_read(n, ReadFault::Hangs));
    let writes = first_of_each_kind(calls.writes().into_iter());
    let writes = writes
        .into_iter()
        .flat_map(|n| [WriteFault::Hangs, WriteFault::HangsWhenDone].map(|fault| Faults::at_write(n, fault)));
    reads.chain(writes).collect()
}

/// Returns the numbers of these calls, counted from 1.
fn first_of_each_kind(calls: impl Iterator<Item = Call>) -> Vec<usize> {
    let mut first = BTreeMap::new();
    for (n, call) in (1..).zip(calls) {
        first.entry(call.kind()).or_insert(n);
    }
    first.into_values().collect()
}
