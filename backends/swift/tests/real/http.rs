//! Requests that the store doesn't make: those of a user without credentials, and the setting of keys.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
};

use url::Url;

/// A response without its headers.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    head: String,
}

/// Sends a request, and reads the response to its end.
pub(crate) fn send(method: &str, url: &Url, headers: &[(&str, &str)], body: &str) -> Response {
    let server = format!("{}:{}", url.host_str().unwrap(), url.port_or_known_default().unwrap());
    let path = &url[url::Position::BeforePath..];
    let mut request =
        format!("{method} {path} HTTP/1.0\r\nHost: {server}\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
    let mut connection = TcpStream::connect(server).unwrap();
    connection.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
    let mut response = Vec::new();
    connection.read_to_end(&mut response).unwrap();
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&response[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, body: response[end + 4..].to_vec(), head }
}

impl Response {
    fn header(&self, name: &str) -> &str {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(other, _)| other.eq_ignore_ascii_case(name)).unwrap().1
    }
}

/// Sets the `Temp-URL-Key` of an account of version 1, or of a container in it.
pub(crate) fn set_key(settings: &BTreeMap<String, String>, container: Option<&str>, key: &str) {
    let credentials = [("X-Auth-User", &*settings["ST_USER"]), ("X-Auth-Key", &*settings["ST_KEY"])];
    let session = send("GET", &settings["ST_AUTH"].parse().unwrap(), &credentials, "");
    let (token, mut url) = (session.header("x-auth-token"), session.header("x-storage-url").to_owned());
    let mut header = "X-Account-Meta-Temp-URL-Key";
    if let Some(container) = container {
        url = format!("{url}/{container}");
        header = "X-Container-Meta-Temp-URL-Key";
    }
    let response = send("POST", &url.parse().unwrap(), &[("X-Auth-Token", token), (header, key)], "");
    assert_eq!(response.status, 204, "{response:?}");
}
