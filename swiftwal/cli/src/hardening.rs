//! Keeps the secrets in this process's memory out of files.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps of this process: they would hold passwords and tokens.
pub(crate) fn forbid_core_dumps() {
    // Both: the limit isn't asked where the kernel pipes dumps into a program, and only the limit is inherited by
    // pg_basebackup. If either fails there is nothing to be done about it.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}
