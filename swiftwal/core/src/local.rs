//! Files and clocks of this machine, and threads for blocking work.

pub(crate) mod archive_status;
pub(crate) mod blocking;
pub(crate) mod clock;
pub(crate) mod content;
pub(crate) mod elapsed;
pub(crate) mod private_directory;
pub(crate) mod regular_file;
pub(crate) mod server_process;
pub(crate) mod staged_file;
pub(crate) mod state_dir;
pub(crate) mod user;
