//! Parses the values of options and settings; the messages say what is accepted.

mod backup;
mod duration;
mod moment;
mod number;
mod size;
mod time_zone;

pub(crate) use self::{
    backup::BackupArg,
    duration::{ParseDurationError, duration},
    moment::moment,
    number::whole,
    size::bytes,
    time_zone::time_zone,
};
