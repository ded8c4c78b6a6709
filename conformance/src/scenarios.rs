//! The facts, one file per concept.

pub(crate) mod archive;
pub(crate) mod backup;
pub(crate) mod list;
pub(crate) mod repository;
pub(crate) mod restore_wal;
pub(crate) mod store_contract;

mod site;
