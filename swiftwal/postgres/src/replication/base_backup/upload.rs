//! Uploads the manifest of the backup that an incremental one is based on: `UPLOAD_MANIFEST`.

use bytes::BytesMut;
use postgres_protocol::message::{
    backend::Message,
    frontend::{self, CopyData},
};

use super::unexpected;
use crate::replication::{
    error::ReplicationError,
    query::{send, until_ready},
    session::Session,
    wire::Received,
};

const DOING: &str = "uploading a backup manifest";

/// The size of one message.
const PIECE_BYTES: usize = 64 << 10;

/// An upload in progress. It must be [finished](Self::finish) before the session is used for anything else.
#[derive(Debug)]
pub struct ManifestUpload<'a> {
    session: &'a mut Session,
}

impl<'a> ManifestUpload<'a> {
    /// Begins to upload a manifest. The server keeps it until this session has taken its incremental backup.
    ///
    /// # Errors
    ///
    /// Servers before version 17 don't support it.
    pub async fn start(session: &'a mut Session) -> Result<Self, ReplicationError> {
        if session.version() < 170_000 {
            return Err(session.unsupported("incremental backups"));
        }
        send(&session.wire, "UPLOAD_MANIFEST", DOING).await?;
        loop {
            match session.wire.receive(DOING).await? {
                Received::Message(Message::CopyInResponse(_)) => return Ok(Self { session }),
                Received::Notice(_) => {}
                _ => return Err(unexpected(DOING)),
            }
        }
    }

    /// Sends the next bytes.
    pub async fn send(&mut self, manifest: &[u8]) -> Result<(), ReplicationError> {
        for piece in manifest.chunks(PIECE_BYTES) {
            let mut message = BytesMut::new();
            let data = CopyData::new(piece).map_err(|error| ReplicationError::protocol(error.to_string()))?;
            data.write(&mut message);
            self.session.wire.send(&message, DOING).await?;
        }
        Ok(())
    }

    /// Ends the upload. A manifest that the server can't read is an error, after which the session can be used again.
    pub async fn finish(self) -> Result<(), ReplicationError> {
        let mut message = BytesMut::new();
        frontend::copy_done(&mut message);
        self.session.wire.send(&message, DOING).await?;
        loop {
            match self.session.wire.receive(DOING).await {
                Ok(Received::Message(Message::ReadyForQuery(_))) => return Ok(()),
                Ok(Received::Message(Message::CommandComplete(_)) | Received::Notice(_)) => {}
                Ok(_) => return Err(unexpected(DOING)),
                Err(ReplicationError::Server(error)) => {
                    until_ready(&mut self.session.wire, DOING).await?;
                    return Err(ReplicationError::Server(error));
                }
                Err(error) => return Err(error),
            }
        }
    }
}
