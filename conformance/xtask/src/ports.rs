//! Free TCP ports for servers.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// Lower than the ports for outgoing connections: after a server is killed, its port is still free.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;
/// The distance between the first ports that different processes try.
const STRIDE: u32 = 61;

/// Returns a listener of 127.0.0.1 on a port that nothing uses and that this process hasn't used before.
pub(crate) fn listen() -> Result<TcpListener> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let start = process::id().wrapping_mul(STRIDE);
    let mut candidates = (0..COUNT).filter_map(|_| {
        let offset = start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT;
        TcpListener::bind((Ipv4Addr::LOCALHOST, u16::try_from(FIRST + offset).ok()?)).ok()
    });
    candidates.next().with_context(|| format!("no free port from {FIRST} on"))
}
