//! A reader that takes a dump as fast as it comes, and looks at no more than the events' headers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kingbus_core::auth::{Nonce, Password, Plugin, scramble};
use kingbus_core::event::{Checksum, GtidEvent, kind};
use kingbus_core::gtid::{Gtid, GtidSet};
use kingbus_core::packet::{HEADER_LEN, PACKET_BYTES_MAX, write_packet};
use kingbus_core::reader::Reader;
use socket2::SockRef;

use crate::mysqld::REPL;

/// Room for one read of the socket.
const READ_BYTES: usize = 256 * 1024;
/// The kernel's room for what comes to a narrow reader.
const NARROW_BYTES: usize = 64 * 1024;
/// Packet header and status byte, in front of each event.
const FRAME_BYTES: usize = HEADER_LEN + 1;
/// A source that says nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(60);

/// LONG_PASSWORD, LONG_FLAG, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH.
const CAPABILITIES: u32 = 0x0008_a205;
const UTF8MB4: u8 = 45;
const COM_QUERY: u8 = 3;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;

/// A connection with a running dump.
#[derive(Debug)]
pub struct Dump {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What of the buffer is filled and was not looked at.
    ready: std::ops::Range<usize>,
    /// Bytes of the present packet that are still to be passed over.
    pass: usize,
    /// Whether the next packet continues the last one.
    continues: bool,
    /// Bytes read from the socket so far.
    pub bytes: u64,
    /// When the dump was asked for.
    pub asked: Instant,
}

/// What a reader looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transaction begins.
    Gtid(Gtid),
    /// A transaction's commit.
    Xid,
}

impl Dump {
    /// Logs in at a port of 127.0.0.1 and asks for all transactions but these.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn start(port: u16, server_id: u32, executed: &str) -> Dump {
        Dump::on(connect(port), server_id, executed)
    }

    /// Like [`start`](Self::start); what this end does not read, the kernel takes little of.
    pub fn start_narrow(port: u16, server_id: u32, executed: &str) -> Dump {
        let stream = connect(port);
        SockRef::from(&stream)
            .set_recv_buffer_size(NARROW_BYTES)
            .expect("an option of the socket");
        Dump::on(stream, server_id, executed)
    }

    fn on(stream: TcpStream, server_id: u32, executed: &str) -> Dump {
        let mut dump = Dump::of(stream);
        dump.log_in(server_id, executed);
        dump
    }

    fn of(stream: TcpStream) -> Dump {
        stream.set_nodelay(true).expect("an option of the socket");
        stream
            .set_read_timeout(Some(SILENCE))
            .expect("an option of the socket");
        Dump {
            stream,
            buffer: vec![0; READ_BYTES],
            ready: 0..0,
            pass: 0,
            continues: false,
            bytes: 0,
            asked: Instant::now(),
        }
    }

    fn log_in(&mut self, server_id: u32, executed: &str) {
        let greeting = self.answer();
        let nonce = nonce(&greeting).expect("a greeting");
        self.send(1, &response(&nonce));
        // Of an account that this server has met before: the password need not be sent.
        while self.answer().first() != Some(&0) {}
        for statement in [
            "SET @source_binlog_checksum = 'CRC32', @master_binlog_checksum = 'CRC32'".to_owned(),
            format!("SET @replica_uuid = '00000000-0000-0000-0000-0000{server_id:08x}'"),
        ] {
            self.send(0, &[&[COM_QUERY], statement.as_bytes()].concat());
            self.answer();
        }
        let executed: GtidSet = executed.parse().expect("a GTID set");
        let executed = executed.encode();
        let mut dump = vec![COM_BINLOG_DUMP_GTID, 0, 0];
        dump.extend_from_slice(&server_id.to_le_bytes());
        dump.extend_from_slice(&0u32.to_le_bytes());
        dump.extend_from_slice(&4u64.to_le_bytes());
        dump.extend_from_slice(&(executed.len() as u32).to_le_bytes());
        dump.extend_from_slice(&executed);
        self.asked = Instant::now();
        self.send(0, &dump);
    }

    fn send(&mut self, mut seq: u8, payload: &[u8]) {
        let mut packet = Vec::new();
        write_packet(&mut packet, &mut seq, payload);
        self.stream.write_all(&packet).expect("a write");
    }

    /// One short packet.
    fn answer(&mut self) -> Vec<u8> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).expect("an answer");
        let len = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let mut payload = vec![0; len as usize];
        self.stream.read_exact(&mut payload).expect("an answer");
        let text = String::from_utf8_lossy(&payload);
        assert_ne!(payload.first(), Some(&0xff), "the server refused: {text}");
        payload
    }

    /// Reads on to the next beginning or commit of a transaction.
    ///
    /// # Panics
    /// When the stream ends, stops for long, or is refused.
    pub fn read(&mut self) -> Event {
        loop {
            let Some(head) = self.head() else {
                self.fill();
                continue;
            };
            let event = match head.kind {
                Some(kind::GTID | kind::GTID_TAGGED) => {
                    let ready = &self.buffer[self.ready.clone()];
                    let Some(event) = ready.get(FRAME_BYTES..HEADER_LEN + head.len) else {
                        self.fill();
                        continue;
                    };
                    let gtid = GtidEvent::parse(event, Checksum::Crc32).expect("a GTID event");
                    gtid.gtid.map(Event::Gtid)
                }
                Some(kind::XID) => Some(Event::Xid),
                Some(_) | None => None,
            };
            self.pass_packet(head);
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// Reads on to the end of a transaction, and returns its GTID.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn read_gtid(&mut self) -> Gtid {
        let mut open = None;
        loop {
            match (self.read(), open) {
                (Event::Gtid(gtid), _) => open = Some(gtid),
                (Event::Xid, Some(gtid)) => return gtid,
                (Event::Xid, None) => {}
            }
        }
    }

    /// Reads on until so many transactions have begun in all, and returns the bytes read. It looks at
    /// nothing but lengths and types, to leave the processor to the server.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn read_transactions(&mut self, count: u64) -> u64 {
        let mut seen = 0;
        while seen < count {
            let Some(head) = self.head() else {
                self.fill();
                continue;
            };
            let begins = matches!(head.kind, Some(kind::GTID | kind::GTID_TAGGED));
            seen += u64::from(begins);
            self.pass_packet(head);
        }
        self.bytes
    }

    /// Of the packet that begins here; None while too little of it is there.
    fn head(&self) -> Option<Head> {
        let ready = &self.buffer[self.ready.clone()];
        let &[len0, len1, len2, _, status, _, _, _, _, kind] = ready.first_chunk()?;
        let len = u32::from_le_bytes([len0, len1, len2, 0]) as usize;
        if self.continues {
            return Some(Head { len, kind: None });
        }
        let text = || String::from_utf8_lossy(&ready[FRAME_BYTES..]);
        assert_eq!(status, 0, "the dump ended: {}", text());
        Some(Head {
            len,
            kind: Some(kind),
        })
    }

    fn pass_packet(&mut self, head: Head) {
        self.continues = head.len == PACKET_BYTES_MAX;
        self.pass = HEADER_LEN + head.len;
        self.pass_over();
    }

    /// Passes over what is there of what is to be passed over: while more is to come, nothing is ready.
    fn pass_over(&mut self) {
        let passed = self.pass.min(self.ready.len());
        self.ready.start += passed;
        self.pass -= passed;
    }

    /// Reads what has come, at least a byte.
    pub fn fill(&mut self) {
        self.buffer.copy_within(self.ready.clone(), 0);
        self.ready = 0..self.ready.len();
        let read = self.stream.read(&mut self.buffer[self.ready.end..]);
        let read = read.unwrap_or_else(|e| panic!("nothing came for {SILENCE:?}: {e}"));
        assert!(read > 0, "the server closed the connection");
        self.ready.end += read;
        self.bytes += read as u64;
        self.pass_over();
    }
}

/// What the first bytes of a packet tell.
struct Head {
    len: usize,
    /// The type of the event that begins with it; None when it continues one.
    kind: Option<u8>,
}

fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port))
        .unwrap_or_else(|e| panic!("no connection to port {port}: {e}"))
}

/// The challenge in a server's greeting.
fn nonce(greeting: &[u8]) -> Option<Nonce> {
    let mut reader = Reader::new(greeting);
    reader.u8()?;
    reader.nul_str()?;
    reader.u32()?;
    let first = reader.bytes(8)?;
    // A zero byte, capabilities, collation, status, capabilities, a length, and room.
    reader.bytes(1 + 2 + 1 + 2 + 2 + 1 + 10)?;
    let nonce = [first, reader.bytes(12)?].concat();
    nonce.try_into().ok()
}

fn response(nonce: &Nonce) -> Vec<u8> {
    let scramble = scramble(Plugin::CachingSha2, nonce, &Password::new(REPL));
    let mut response = CAPABILITIES.to_le_bytes().to_vec();
    response.extend_from_slice(&(1u32 << 30).to_le_bytes());
    response.push(UTF8MB4);
    response.extend_from_slice(&[0; 23]);
    response.extend_from_slice(REPL.as_bytes());
    response.extend_from_slice(&[0, scramble.len() as u8]);
    response.extend_from_slice(&scramble);
    response.extend_from_slice(Plugin::CachingSha2.name().as_bytes());
    response.push(0);
    response
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A dump of these bytes, which the server has after the log-in.
    fn dump(stream: Vec<u8>) -> Dump {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a connection");
            client.write_all(&stream).expect("a write");
        });
        Dump::of(connect(port))
    }

    /// An event of so many bytes behind its status byte, in as many packets as it takes.
    fn event(kind: u8, len: usize) -> Vec<u8> {
        let mut payload = vec![0; 1 + len];
        payload[5] = kind;
        let mut packets = Vec::new();
        write_packet(&mut packets, &mut 0, &payload);
        packets
    }

    #[test]
    fn transactions_are_counted_past_events_of_many_packets() {
        let rows = 30;
        let mut stream = Vec::new();
        for len in [19, 300 << 10, 2 * PACKET_BYTES_MAX - 1, 40 << 20] {
            stream.extend(event(kind::GTID, 44));
            stream.extend(event(rows, len));
            stream.extend(event(kind::XID, 31));
        }
        let all = stream.len() as u64;
        stream.extend(event(kind::GTID_TAGGED, 44));
        let mut dump = dump(stream);
        assert!(dump.read_transactions(2) < all);
        assert!(dump.read_transactions(3) > all);
    }

    #[test]
    #[should_panic(expected = "purged")]
    fn an_error_of_the_server_is_told() {
        let mut stream = event(kind::GTID, 44);
        write_packet(&mut stream, &mut 0, b"\xff\x94\x04#HY000purged");
        dump(stream).read_transactions(2);
    }
}
