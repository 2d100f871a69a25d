//! The operator's host: names the source, and asks all nodes again and again how they are.

use std::io;

use kingbus_core::node::status::Status;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration, sleep, timeout};
use turmoil::net::TcpStream;

use super::plan::{NODES, SOURCE_HOST, node_host};
use super::world::World;
use super::{node, source};

/// Pause between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(200);

/// An answer comes in this time, or the next node is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What the host runs.
pub(super) async fn run(world: World) -> turmoil::Result {
    let body = json!({
        "host": SOURCE_HOST,
        "port": source::PORT,
        "user": source::USER,
        "password": source::PASSWORD,
        "start": "earliest",
    });
    let mut named = false;
    loop {
        for number in 1..=NODES {
            if !named && let Ok((200, _)) = ask(number, "PUT /source", &body.to_string()).await {
                world.note(format!("operator: node {number} takes the source"));
                named = true;
            }
            if let Ok((200, status)) = ask(number, "GET /status", "").await {
                match serde_json::from_slice::<Status>(&status) {
                    Ok(status) => world.state().status(number, status),
                    Err(error) => {
                        let text = format!("node {number}: {error}");
                        world.state().fail("the_status_can_be_read", text);
                    }
                }
            }
        }
        sleep(PAUSE).await;
    }
}

/// A request to a node: code and body of the answer.
async fn ask(number: usize, what: &str, body: &str) -> io::Result<(u16, Vec<u8>)> {
    let answer = timeout(ANSWER_TIMEOUT, exchange(number, what, body)).await;
    answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn exchange(number: usize, what: &str, body: &str) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect((node_host(number), node::ADMIN_PORT)).await?;
    let request = format!(
        "{what} HTTP/1.1\r\nhost: kingbus\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        node::ADMIN_TOKEN,
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    let (Some(code), Some((_, body))) = (code, text.split_once("\r\n\r\n")) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    Ok((code, body.as_bytes().to_vec()))
}
