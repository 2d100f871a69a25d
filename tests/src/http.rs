//! Just enough of an HTTP client for the admin port.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Bound of one request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A response: status code and body.
#[derive(Debug)]
pub struct Response {
    /// As in the first line.
    pub code: u16,
    /// All after the headers.
    pub body: String,
}

/// Sends one request to 127.0.0.1 and reads the response to its end.
pub fn request(port: u16, method: &str, path: &str, body: &str) -> Result<Response> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len(),
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| Error::new(ErrorKind::InvalidData, "not an HTTP response"))
}

fn parse(answer: &[u8]) -> Option<Response> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        join_chunks(body)?
    } else {
        body.to_owned()
    };
    Some(Response { code, body })
}

fn join_chunks(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (len, after) = rest.split_once("\r\n")?;
        let len = usize::from_str_radix(len.trim(), 16).ok()?;
        if len == 0 {
            return Some(body);
        }
        body.push_str(after.get(..len)?);
        rest = after.get(len..)?.strip_prefix("\r\n")?;
    }
}
