//! Compresses frames with zstd, each in one call: a stream would copy the bytes through its window.

use std::cell::RefCell;
use std::io;

use zstd::zstd_safe::{CCtx, CParameter, get_error_name};

/// A context that takes more than this isn't kept for the next frame. Those of levels 1 to 3 take less.
const MOST_KEPT_BYTES: usize = 4 << 20;

thread_local! {
    /// The context of this thread's last frame, and its level.
    static KEPT: RefCell<Option<(i8, CCtx<'static>)>> = const { RefCell::new(None) };
}

/// Replaces the content of `sink` by the frame. Its memory must suffice.
pub(crate) fn compress(level: i8, bytes: &[u8], sink: &mut Vec<u8>) -> io::Result<()> {
    let kept = KEPT.take().filter(|(of, _)| *of == level);
    let mut context = kept.map_or_else(|| context(level), |(_, context)| Ok(context))?;
    context.compress2(sink, bytes).map_err(error)?;
    if context.sizeof() <= MOST_KEPT_BYTES {
        KEPT.set(Some((level, context)));
    }
    Ok(())
}

fn context(level: i8) -> io::Result<CCtx<'static>> {
    let mut context = CCtx::create();
    let set = |context: &mut CCtx<'_>, parameter| context.set_parameter(parameter).map_err(error);
    set(&mut context, CParameter::CompressionLevel(level.into()))?;
    set(&mut context, CParameter::ChecksumFlag(true))?;
    if level <= 1 {
        // These levels look for matches of 6 or 7 bytes. Shorter ones save a tenth of PostgreSQL's pages and WAL, at
        // nearly the same cost.
        set(&mut context, CParameter::MinMatch(5))?;
    }
    Ok(context)
}

fn error(code: usize) -> io::Error {
    io::Error::other(get_error_name(code))
}
