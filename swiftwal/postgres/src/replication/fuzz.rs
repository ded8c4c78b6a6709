//! The fuzzing target of what a server sends.

use std::{io, time::Duration};

use bytes::Bytes;
use postgres_protocol::message::backend::Message;
use tokio::{io::AsyncWriteExt, net::UnixStream, runtime};

use super::{
    base_backup, connect, stream,
    wire::{Received, Transport, Wire},
};

/// Receives the bytes as a server's messages, those of copies as parts of a base backup and of a WAL stream; and parses them
/// as a certificate.
pub(crate) fn server_messages(bytes: &[u8]) {
    connect::fuzz::certificate(bytes);
    let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return };
    for data in runtime.block_on(received(bytes)).unwrap_or_default() {
        base_backup::fuzz::copy(data.clone());
        stream::fuzz::payload(data);
    }
}

/// Returns the data of copies in the messages.
async fn received(bytes: &[u8]) -> io::Result<Vec<Bytes>> {
    let (ours, mut server) = UnixStream::pair()?;
    let mut wire = Wire::new(Transport::Unix(ours), Duration::from_secs(60));
    let sent = bytes.to_vec();
    let sending = tokio::spawn(async move { server.write_all(&sent).await });
    let mut copied = Vec::new();
    loop {
        match wire.receive("testing").await {
            Ok(Received::Message(Message::CopyData(body))) => copied.push(body.into_bytes()),
            Ok(_) => {}
            Err(error) => {
                assert!(error.to_string().len() < 20_000);
                break;
            }
        }
    }
    drop(wire);
    // The rest of a message that was refused couldn't be sent.
    let _ = sending.await;
    Ok(copied)
}
