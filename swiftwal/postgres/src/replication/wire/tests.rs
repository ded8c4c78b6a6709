//! Tests with scripted bytes in place of a server.

use std::time::Duration;

use postgres_protocol::message::backend::Message;
use tokio::{io::AsyncWriteExt, net::UnixStream};

use super::{Received, Transport, Wire};
use crate::replication::error::ReplicationError;

/// Returns a connection, and its other end.
fn pair() -> (Wire, UnixStream) {
    let (ours, other) = UnixStream::pair().unwrap();
    (Wire::new(Transport::Unix(ours), Duration::from_secs(60)), other)
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, body].concat()
}

fn copy_data(received: &Received) -> &[u8] {
    match received {
        Received::Message(Message::CopyData(body)) => body.data(),
        _ => panic!("not data of a copy"),
    }
}

async fn failure(bytes: &[u8]) -> ReplicationError {
    let (mut wire, mut server) = pair();
    server.write_all(bytes).await.unwrap();
    drop(server);
    loop {
        if let Err(error) = wire.receive("testing").await {
            return error;
        }
    }
}

#[tokio::test]
async fn a_message_is_received_wherever_it_is_cut() {
    let first = message(b'd', b"abc");
    let parameter = message(b'S', b"in_hot_standby\0on\0");
    let script =
        [first, parameter, message(b'v', &[0; 8]), message(b'W', &[0, 0, 0]), message(b'd', b"xyz")].concat();
    for cut in 0..=script.len() {
        let (mut wire, mut server) = pair();
        let (before, after) = script.split_at(cut);
        server.write_all(before).await.unwrap();
        // Takes what is there, and is cancelled when nothing more comes.
        let mut received = Vec::new();
        loop {
            tokio::select! {
                biased;
                next = wire.receive("testing") => received.push(next.unwrap()),
                () = tokio::task::yield_now() => break,
            }
        }
        server.write_all(after).await.unwrap();
        while received.len() < 3 {
            received.push(wire.receive("testing").await.unwrap());
        }
        assert_eq!((copy_data(&received[0]), copy_data(&received[2])), (&b"abc"[..], &b"xyz"[..]), "{cut}");
        assert!(matches!(received[1], Received::CopyBoth));
        assert_eq!(wire.parameter("in_hot_standby"), Some("on"));
    }
}

#[tokio::test]
async fn data_are_slices_of_the_receive_buffer() {
    let (mut wire, mut server) = pair();
    server.write_all(&[message(b'd', &[1; 1000]), message(b'd', &[2; 1000])].concat()).await.unwrap();
    let first = wire.receive("testing").await.unwrap();
    let second = wire.receive("testing").await.unwrap();
    let distance = copy_data(&second).as_ptr() as usize - copy_data(&first).as_ptr() as usize;
    assert_eq!(distance, 1005, "they were copied");
}

#[tokio::test]
async fn a_message_that_is_too_long_or_too_short_is_refused_by_its_header() {
    let header = |tag: u8, length: u32| [&[tag][..], &length.to_be_bytes()].concat();
    for (tag, length) in
        [(b'D', (1 << 20) + 1), (b'd', (16 << 20) + 1), (b'd', 3), (b'E', u32::MAX), (b'W', 1 << 31)]
    {
        let error = failure(&header(tag, length)).await;
        assert!(matches!(error, ReplicationError::Protocol(_)), "{error}");
    }
    for (tag, length) in [(b'D', 1 << 20), (b'd', 16 << 20)] {
        let error = failure(&header(tag, length)).await;
        assert!(matches!(error, ReplicationError::Closed { .. }), "{error}");
    }
    let error = failure(&message(b'?', b"")).await;
    assert!(error.to_string().contains("unknown message tag"), "{error}");
}

#[tokio::test]
async fn a_large_message_is_received() {
    let (mut wire, mut server) = pair();
    let large = message(b'd', &vec![7; (16 << 20) - 4]);
    let sending = tokio::spawn(async move { server.write_all(&large).await.map(|()| server) });
    let received = wire.receive("testing").await.unwrap();
    assert!(copy_data(&received).iter().all(|byte| *byte == 7));
    assert_eq!(copy_data(&received).len(), (16 << 20) - 4);
    sending.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_is_an_error_while_receiving_and_while_sending() {
    let (mut wire, _server) = pair();
    let error = wire.receive("testing").await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), "the server has been silent for 60 s while testing");
    let error = wire.send(&vec![0; 16 << 20], "sending").await.unwrap_err();
    assert!(matches!(error, ReplicationError::Silence { doing: "sending", .. }), "{error}");
}

#[tokio::test]
async fn an_error_of_the_server_is_escaped_and_a_notice_is_not_an_error() {
    let fields = b"SFATAL\0VFATAL\0C28P01\0Mno\x1b[2J\0Hdo\nthis\0\0";
    let error = failure(&message(b'E', fields)).await;
    assert_eq!(error.to_string(), r"FATAL: no\x1b[2J (SQLSTATE 28P01)");
    assert_eq!((error.code(), error.hint()), (Some("28P01"), Some(r"do\nthis")));
    let (mut wire, mut server) = pair();
    server.write_all(&message(b'N', fields)).await.unwrap();
    assert!(matches!(wire.receive("testing").await.unwrap(), Received::Notice(_)));
}

#[tokio::test]
async fn what_a_cancelled_call_did_not_send_is_sent_first() {
    let (wire, mut server) = pair();
    let large = vec![1; 16 << 20];
    tokio::select! {
        biased;
        sent = wire.send(&large, "sending") => panic!("{sent:?}"),
        () = tokio::task::yield_now() => {}
    }
    let reading = tokio::spawn(async move {
        let mut received = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut server, &mut received).await.map(|_| received)
    });
    wire.send(&[2], "sending").await.unwrap();
    drop(wire);
    let received = reading.await.unwrap().unwrap();
    assert!(received[..16 << 20] == large[..] && received[16 << 20..] == [2]);
}
