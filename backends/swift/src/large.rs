//! Large objects: the segments they are made of, the manifests that name these, and how both come and go.

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
