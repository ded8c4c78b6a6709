//! A proxy on the loopback that breaks the connection of a base backup after a message of the server.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Result;

/// When the connection of the base backup breaks: after this many messages of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Since the command.
    AfterTheCommand(usize),
    /// Since the end of the copy.
    AfterTheCopy(usize),
}

/// The command that begins a base backup.
const COMMAND: &[u8] = b"BASE_BACKUP";
/// The message that ends a copy.
const COPY_DONE: u8 = b'c';

/// Starts a proxy in front of a server's socket, and returns its port.
pub(crate) fn start(socket: PathBuf, cut: Cut) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A connection that can't be forwarded is closed, which the test sees.
            drop(forward(client, &socket, cut));
        }
    });
    Ok(port)
}

fn forward(client: TcpStream, socket: &Path, cut: Cut) -> io::Result<()> {
    let server = UnixStream::connect(socket)?;
    let has_begun = Arc::new(AtomicBool::new(false));
    let (mut from_client, mut to_server, begins) =
        (client.try_clone()?, server.try_clone()?, Arc::clone(&has_begun));
    thread::spawn(move || {
        let mut buffer = [0; 64 << 10];
        while let Ok(length @ 1..) = from_client.read(&mut buffer) {
            if buffer[..length].windows(COMMAND.len()).any(|window| window == COMMAND) {
                begins.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        drop(to_server.shutdown(Shutdown::Both));
    });
    thread::spawn(move || {
        // Either side may be gone already.
        drop(messages(&server, &client, cut, &has_begun));
        drop(client.shutdown(Shutdown::Both));
        drop(server.shutdown(Shutdown::Both));
    });
    Ok(())
}

/// Forwards the server's messages until the connection is to break.
fn messages(
    mut server: &UnixStream,
    mut client: &TcpStream,
    cut: Cut,
    has_begun: &AtomicBool,
) -> io::Result<()> {
    let (mut since_command, mut since_copy) = (0, None);
    loop {
        let has_begun = has_begun.load(Ordering::SeqCst);
        let is_cut = match cut {
            Cut::AfterTheCommand(count) => has_begun && since_command == count,
            Cut::AfterTheCopy(count) => since_copy == Some(count),
        };
        if is_cut {
            return Ok(());
        }
        let mut header = [0; 5];
        server.read_exact(&mut header)?;
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let mut message = header.to_vec();
        server.take(u64::from(length.saturating_sub(4))).read_to_end(&mut message)?;
        client.write_all(&message)?;
        if has_begun {
            since_command += 1;
            since_copy = since_copy.map(|count| count + 1).or((header[0] == COPY_DONE).then_some(0));
        }
    }
}
