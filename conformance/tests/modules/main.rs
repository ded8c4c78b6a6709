//! The source of the crates: the layers of their modules, no circles between neighbours, and how errors are put into
//! texts.

#![expect(clippy::unwrap_used, reason = "the tests' helpers fail as tests do")]

mod circles;
mod error_texts;
mod layers;
mod overviews;
mod source;
