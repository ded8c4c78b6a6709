//! How the values of options and settings are read, with messages that say what would do.

mod backup;
mod duration;
mod number;

pub(crate) use self::{
    backup::BackupArg,
    duration::{ParseDurationError, duration},
    number::whole,
};
