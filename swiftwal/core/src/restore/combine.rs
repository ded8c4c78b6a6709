//! Combines the backups of a chain: reads the older ones, the newest first, and fills the files of the newest
//! ([`super::chain`]).

mod checks;
mod fill;
mod readback;

pub(super) use self::{
    checks::{ChainChecks, refuse_missing},
    fill::fill,
    readback::read_back,
};
