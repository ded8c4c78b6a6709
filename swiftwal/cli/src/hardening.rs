//! Keeps secrets in this process's memory from being written to disk.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Disables core dumps of this process, which would contain passwords and tokens.
pub(crate) fn forbid_core_dumps() {
    // Both settings are needed: the limit isn't checked if the kernel pipes dumps into a program, and only the limit is
    // inherited by pg_basebackup. If either fails, nothing can be done about it.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}
