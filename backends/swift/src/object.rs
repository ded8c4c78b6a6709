//! Single objects: their headers and digests, and how one is stored in one piece.

pub(crate) mod attributes;
mod digest;
mod meta;
mod put_plain;
mod stored;

pub(crate) use self::{
    attributes::to_headers,
    digest::{Md5Sum, md5_hex},
    meta::{Shape, head, head_unproven, header, meta, no_length, shape, unquoted},
    put_plain::put_plain,
    stored::{Content, stored},
};
