//! Single objects: what is sent with them, what comes back, and how it is checked.

mod attributes;
mod body;
mod check;
mod copy;
mod delete;
mod digest;
mod get;
mod meta;
mod put;

pub(crate) use self::{
    attributes::to_headers,
    digest::{Md5Sum, md5_hex},
    meta::{Shape, header, unquoted},
    put::stored,
};
