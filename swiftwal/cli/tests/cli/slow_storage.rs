//! A storage that answers very slowly, or never: each command ends at its deadline with the documented exit code.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    thread,
    time::Duration,
};

use crate::site::{Site, ran, segment_name};

/// The way in which a server answers requests whose first line contains this.
type Answer = fn(&str, TcpStream);

/// One byte from time to time, without an end.
fn trickle(request: &str, mut connection: TcpStream) {
    let mut head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\
                    Last-Modified: Wed, 28 Aug 2013 18:10:42 GMT\r\n\
                    Etag: 900150983cd24fb0d6963f7d28e17f72\r\n"
        .to_owned();
    // If there is no body, the head is sent slowly.
    head += if request.starts_with("HEAD") { "X-Timestamp: 1" } else { "\r\n" };
    let mut sent = connection.write_all(head.as_bytes());
    while sent.is_ok() {
        thread::sleep(Duration::from_millis(100));
        sent = connection.write_all(b"x");
    }
}

/// No answer: it waits until the client disconnects.
fn hang(_: &str, connection: TcpStream) {
    let _ = BufReader::new(connection).lines().map_while(Result::ok).count();
}

/// Starts a server that answers every request in this way, and returns the URL of its account.
fn server(answer: Answer) -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/AUTH_test", server.local_addr().unwrap());
    thread::spawn(move || {
        for connection in server.incoming() {
            let connection = connection.unwrap();
            thread::spawn(move || {
                let mut request = BufReader::new(connection.try_clone().unwrap()).lines();
                let Some(Ok(first)) = request.next() else { return };
                while request.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                answer(&first, connection);
            });
        }
    });
    url
}

/// Every command, with the activity that its message names.
fn commands(segment: &str) -> Vec<(Vec<String>, String)> {
    let name = segment_name(1);
    let reading = "reading container pgprod".to_owned();
    let mut commands = Vec::new();
    let mut add = |arguments: &str, doing: &str| {
        let arguments = arguments.split(' ').map(str::to_owned).collect();
        commands.push((arguments, doing.to_owned()));
    };
    add(&format!("archive-wal {segment}"), &format!("storing {segment} in container pgprod"));
    add(&format!("archive-wal --force {segment}"), &format!("storing {segment} in container pgprod"));
    add(&format!("restore-wal {name} back"), &format!("fetching {name} from container pgprod"));
    add("list-wal", &reading);
    for others in [
        "list-backups",
        "label latest",
        "label 20130828T1810Z",
        "restore latest data",
        "restore 20130828T1810Z data",
        "prune --keep-backups 1",
        "prune --keep-backups 1 -n",
        "timeline list",
        "timeline discard 2",
        "backup",
    ] {
        add(others, "");
    }
    add(&format!("archive-cleanup {name}"), "");
    commands
}

fn every_command_ends_at_its_deadline(answer: Answer) {
    let site = Site::new();
    let (segment, url) = (site.write_segment(1, 0), server(answer));
    // All at once, since each takes as long as its deadline.
    let running: Vec<_> = commands(&segment)
        .into_iter()
        .enumerate()
        .map(|(number, (arguments, doing))| {
            let directory = site.path(&number.to_string());
            fs::create_dir(&directory).unwrap();
            site.write(&format!("{number}/{segment}"), fs::read(site.path(&segment)).unwrap());
            let mut command = site.bare_command(&["-C", "pgprod", "--deadline", "2"]);
            command.args(&arguments).env("OS_TOKEN", "x").env("OS_STORAGE_URL", &url).current_dir(&directory);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            (arguments, doing, directory, child)
        })
        .collect();
    for (arguments, doing, directory, child) in running {
        let ran = ran(child.wait_with_output().unwrap());
        let code = if arguments[0] == "restore-wal" { 128 } else { 1 };
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{arguments:?}: {ran:?}");
        let told = format!("swiftwal: not done within the deadline of 2 s, and stopped while {doing}");
        assert!(
            ran.stderr.lines().last().is_some_and(|line| line.starts_with(&told)),
            "{arguments:?}: {ran:?}"
        );
        let left: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["pg_wal"], "{arguments:?}");
    }
}

#[test]
fn a_server_that_trickles_holds_no_command_up_beyond_its_deadline() {
    every_command_ends_at_its_deadline(trickle);
}

#[test]
fn a_server_that_never_answers_holds_no_command_up_beyond_its_deadline() {
    every_command_ends_at_its_deadline(hang);
}
