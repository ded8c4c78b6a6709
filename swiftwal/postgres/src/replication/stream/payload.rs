//! What the copies of a WAL stream contain.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use jiff::Timestamp;

use crate::{Lsn, replication::error::ReplicationError};

/// The beginning of the year 2000 in Unix time, in microseconds: PostgreSQL's epoch.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

/// WAL that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedWal {
    /// Where it begins.
    pub start: Lsn,
    /// The end of the server's WAL.
    pub server_end: Lsn,
    /// The WAL: a slice of the receive buffer.
    pub data: Bytes,
}

/// How far a receiver is. Each position is the end of what was received, exclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalStatus {
    /// What has been written; `None` for nothing.
    pub written: Option<Lsn>,
    /// What is stored and survives a crash. It advances the slot, and confirms transactions to the clients of a server whose
    /// `synchronous_standby_names` contains this receiver.
    pub flushed: Option<Lsn>,
    /// What has been applied.
    pub applied: Option<Lsn>,
}

/// A message of the server within the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Wal(ReceivedWal),
    Keepalive { server_end: Lsn, wants_report: bool },
}

impl Payload {
    pub(super) fn parse(mut message: Bytes) -> Result<Self, ReplicationError> {
        match (message.first(), message.len()) {
            (Some(b'w'), 25..) => {
                message.advance(1);
                let start = Lsn(message.get_u64());
                let server_end = Lsn(message.get_u64());
                let _clock = message.get_i64();
                Ok(Self::Wal(ReceivedWal { start, server_end, data: message }))
            }
            (Some(b'k'), 18) => {
                message.advance(1);
                let server_end = Lsn(message.get_u64());
                let _clock = message.get_i64();
                Ok(Self::Keepalive { server_end, wants_report: message.get_u8() != 0 })
            }
            _ => Err(ReplicationError::protocol("an unknown message in the WAL stream")),
        }
    }
}

impl WalStatus {
    /// Returns the message that reports this status, with the server's tag and length around it.
    pub(super) fn message(&self, now: Timestamp, wants_answer: bool) -> BytesMut {
        let mut message = BytesMut::with_capacity(39);
        message.put_u8(b'd');
        message.put_u32(4 + 34);
        message.put_u8(b'r');
        for position in [self.written, self.flushed, self.applied] {
            message.put_u64(position.map_or(0, |lsn| lsn.0));
        }
        message.put_i64(now.as_microsecond().saturating_sub(EPOCH_MICROSECONDS));
        message.put_u8(wants_answer.into());
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wal_and_keepalives_are_told_apart() {
        let numbers = [&1_u64.to_be_bytes()[..], &2_u64.to_be_bytes(), &3_u64.to_be_bytes()].concat();
        let wal = Bytes::from([b"w", &numbers[..], b"xyz"].concat());
        let expected = ReceivedWal { start: Lsn(1), server_end: Lsn(2), data: Bytes::from_static(b"xyz") };
        assert_eq!(Payload::parse(wal).unwrap(), Payload::Wal(expected));
        let keepalive = Bytes::from([b"k", &numbers[..16], &[1]].concat());
        let expected = Payload::Keepalive { server_end: Lsn(1), wants_report: true };
        assert_eq!(Payload::parse(keepalive).unwrap(), expected);
        for odd in [vec![], vec![b'w'; 24], vec![b'k'; 17], vec![b'k'; 19], vec![b's'; 30]] {
            assert!(Payload::parse(odd.into()).is_err());
        }
    }

    #[test]
    fn a_report_has_three_positions_and_the_time_since_2000() {
        let status = WalStatus { written: Some(Lsn(1)), flushed: None, applied: Some(Lsn(2)) };
        let now = "2000-01-01T00:00:01Z".parse().unwrap();
        let zeros = [0; 7];
        let expected = [
            &b"d\0\0\0\x26r"[..],
            &zeros,
            b"\x01",
            &zeros,
            b"\0",
            &zeros,
            b"\x02",
            &1_000_000_i64.to_be_bytes(),
            b"\x01",
        ];
        assert_eq!(status.message(now, true), expected.concat());
    }
}
