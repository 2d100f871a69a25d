//! The stream of events: packets with a status byte, from a semi-synchronous source with two more,
//! then the event; long events go on over packets of 2^24 - 1 bytes.

use std::collections::VecDeque;

use super::assembler::{Assembler, PREFIX_BYTES, WHOLE_EVENT_BYTES_MAX};
use super::reply::{ServerError, is_eof};
use crate::event::{HEADER_LEN as EVENT_HEADER_LEN, Header, kind};
use crate::gtid::GtidSet;
use crate::packet::{HEADER_LEN, PACKET_BYTES_MAX, parse_header};

const COM_BINLOG_DUMP_GTID: u8 = 0x1e;
/// Heartbeats as HEARTBEAT_V2, with positions of 64 bits; older sources do not look at it.
const HEARTBEAT_V2: u16 = 0x0002;
const FIRST_POSITION: u64 = 4;

const OK: u8 = 0x00;
const ERR: u8 = 0xff;
const SEMI_SYNC_MAGIC: u8 = 0xef;
/// Longest error packet; MySQL cuts the text at 511 bytes.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// Cannot replicate: the text says why.
const FATAL_ERROR_READING_BINLOG: u16 = 1236;
const NO_PRIVILEGE: u16 = 1227;

const MALFORMED: &str = "the source's stream of events is malformed: its packets do not fit";

/// The command that asks for all but these transactions.
pub(super) fn command(server_id: u32, executed: &GtidSet) -> Vec<u8> {
    let set = executed.encode();
    let mut out = vec![COM_BINLOG_DUMP_GTID];
    out.extend_from_slice(&HEARTBEAT_V2.to_le_bytes());
    out.extend_from_slice(&server_id.to_le_bytes());
    out.extend_from_slice(&0u32.to_le_bytes());
    out.extend_from_slice(&FIRST_POSITION.to_le_bytes());
    out.extend_from_slice(&(set.len() as u32).to_le_bytes());
    out.extend_from_slice(&set);
    out
}

/// The state of the stream.
#[derive(Debug)]
pub(super) struct Dump {
    semi_sync: bool,
    long: Option<Long>,
    /// The event that is being read is to be acknowledged.
    ack_wanted: bool,
    /// Acknowledgements to be sent, with the chunk that must be committed before; the last of each
    /// chunk stands for all.
    acks: VecDeque<(u64, Vec<u8>)>,
    /// The last of them. A source that does not wait for us may not read them: of a place that a heartbeat
    /// names again and again it is told once.
    last_ack: Vec<u8>,
}

/// Where the stream is inside of a long event.
#[derive(Clone, Copy, Debug)]
struct Long {
    event_left: usize,
    packet_left: usize,
    /// Whether another packet of the same payload follows.
    goes_on: bool,
}

impl Dump {
    pub(super) fn new(semi_sync: bool) -> Dump {
        Dump {
            semi_sync,
            long: None,
            ack_wanted: false,
            acks: VecDeque::new(),
            last_ack: Vec::new(),
        }
    }

    /// Takes one event, or a piece of a long one, from the front of `input`. Returns its length
    /// there; 0 when more bytes are needed.
    pub(super) fn take(&mut self, input: &[u8], to: &mut Assembler) -> Result<usize, String> {
        match self.long {
            Some(long) => self.take_more(long, input, to),
            None => self.take_event(input, to),
        }
    }

    /// How many bytes `input` should have room for, so that the next `take` finds an event.
    pub(super) fn wants(&self, input: &[u8]) -> usize {
        let len = parse_header(input).map_or(0, |(len, _)| len);
        HEADER_LEN + len.min(WHOLE_EVENT_BYTES_MAX + EVENT_HEADER_LEN)
    }

    /// The acknowledgement to send now that all chunks up to `seq` are committed.
    pub(super) fn committed(&mut self, seq: u64) -> Option<Vec<u8>> {
        let mut ack = None;
        while let Some((_, covered)) = self.acks.pop_front_if(|(needed, _)| *needed <= seq) {
            ack = Some(covered);
        }
        ack
    }

    fn take_event(&mut self, input: &[u8], to: &mut Assembler) -> Result<usize, String> {
        let Some((len, _)) = parse_header(input) else {
            return Ok(0);
        };
        let payload = &input[HEADER_LEN..];
        let before = if self.semi_sync { 3 } else { 1 };
        match payload.first() {
            None if len == 0 => return Err(MALFORMED.to_owned()),
            None => return Ok(0),
            Some(&OK) => {}
            Some(_) => return ended(payload, len),
        }
        if len < before + EVENT_HEADER_LEN {
            return Err(MALFORMED.to_owned());
        }
        if payload.len() < before + EVENT_HEADER_LEN {
            return Ok(0);
        }
        let head = Header::parse(&payload[before..]).ok_or(MALFORMED)?;
        let event_len = head.len as usize;
        let fits = match len {
            PACKET_BYTES_MAX => before + event_len >= len,
            _ => before + event_len == len,
        };
        if !fits || (self.semi_sync && payload[1] != SEMI_SYNC_MAGIC) {
            return Err(MALFORMED.to_owned());
        }
        let needed = match event_len {
            ..=WHOLE_EVENT_BYTES_MAX => event_len,
            _ => PREFIX_BYTES,
        };
        let Some(event) = payload.get(before..before + needed) else {
            return Ok(0);
        };
        self.ack_wanted = self.semi_sync && (payload[2] != 0 || is_heartbeat(&head));
        if needed == event_len {
            to.event(event)?;
            self.behind_event(to);
        } else {
            to.begin_long(event)?;
            self.long = Some(Long {
                event_left: event_len - needed,
                packet_left: len - before - needed,
                goes_on: len == PACKET_BYTES_MAX,
            });
        }
        Ok(HEADER_LEN + before + needed)
    }

    fn take_more(
        &mut self,
        mut long: Long,
        input: &[u8],
        to: &mut Assembler,
    ) -> Result<usize, String> {
        let taken = if long.packet_left > 0 {
            let piece = &input[..input.len().min(long.packet_left)];
            to.go_on(piece)?;
            long.packet_left -= piece.len();
            long.event_left -= piece.len();
            piece.len()
        } else {
            let Some((len, _)) = parse_header(input) else {
                return Ok(0);
            };
            long.packet_left = len;
            long.goes_on = len == PACKET_BYTES_MAX;
            let fits = match long.goes_on {
                true => len <= long.event_left,
                false => len == long.event_left,
            };
            if !fits {
                return Err(MALFORMED.to_owned());
            }
            HEADER_LEN
        };
        if long.packet_left > 0 || long.goes_on {
            self.long = Some(long);
        } else {
            assert_eq!(long.event_left, 0, "the last packet ends with the event");
            self.long = None;
            self.behind_event(to);
        }
        Ok(taken)
    }

    /// Remembers what to acknowledge, once it is known in which chunk it is: at the end of the
    /// transaction.
    fn behind_event(&mut self, to: &Assembler) {
        if !self.ack_wanted || to.in_transaction() {
            return;
        }
        self.ack_wanted = false;
        let (file, position) = to.place();
        let place = (&position.to_le_bytes()[..], file.as_bytes());
        if self
            .last_ack
            .split_at_checked(9)
            .is_some_and(|(head, name)| (&head[1..], name) == place)
        {
            return;
        }
        let seq = to.last_seq();
        let before = self.acks.pop_back_if(|(last, _)| *last == seq);
        let mut ack = before.map_or_else(Vec::new, |(_, ack)| ack);
        ack.clear();
        ack.reserve(1 + 8 + file.len());
        ack.push(SEMI_SYNC_MAGIC);
        ack.extend_from_slice(&position.to_le_bytes());
        ack.extend_from_slice(file.as_bytes());
        self.last_ack.clone_from(&ack);
        self.acks.push_back((seq, ack));
    }
}

/// A heartbeat says that everything before its place was sent, or left out because we have it. It is
/// acknowledged too: the acknowledgement of a transaction may have been lost with a connection, and the
/// source does not send that transaction again.
fn is_heartbeat(head: &Header) -> bool {
    matches!(head.kind, kind::HEARTBEAT | kind::HEARTBEAT_V2)
}

/// The packet that ends the stream, at the front of `payload`.
fn ended(payload: &[u8], len: usize) -> Result<usize, String> {
    if len > ERROR_BYTES_MAX {
        return Err(MALFORMED.to_owned());
    }
    let Some(whole) = payload.get(..len) else {
        return Ok(0);
    };
    if is_eof(whole) {
        return Err(
            "the source ended the stream of events: it shuts down, or another replica \
                    with our server_uuid connected to it"
                .to_owned(),
        );
    }
    match whole.first() {
        Some(&ERR) => Err(refused(&ServerError::parse(whole).ok_or(MALFORMED)?)),
        _ => Err(MALFORMED.to_owned()),
    }
}

fn refused(error: &ServerError) -> String {
    match error.code {
        FATAL_ERROR_READING_BINLOG => format!("the source cannot send its binlog: {error}"),
        NO_PRIVILEGE => format!(
            "the source does not send its binlog to this account: {error}; \
             GRANT REPLICATION SLAVE ON *.* to it"
        ),
        _ => format!("the source ended the stream of events: {error}"),
    }
}
