//! Large objects: their segments, the manifests that name these, and how both are stored and deleted.

mod dynamic;
mod manifest;
mod parts;
mod place;
#[cfg(test)]
mod real;
mod replace;
mod segments;
mod upload;
mod write;

pub(crate) use self::{
    manifest::Segment,
    place::{Place, segments_of, upload_of},
};
