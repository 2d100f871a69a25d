//! Events into packets: header, status byte, event; split where a packet is full.

use crate::event::HEADER_LEN;

/// Longest payload of one packet; a payload of this length is followed by another packet.
const PACKET_PAYLOAD_MAX: usize = 0xff_ffff;
/// Length of a packet's own header: 3 bytes of length, 1 of sequence number.
const PACKET_HEADER_LEN: usize = 4;
/// What one packet adds to an event: its header, the status byte, and the header of an empty packet.
const HEADERS_LEN: usize = 2 * PACKET_HEADER_LEN + 1;
/// Where an event's header has the event's length (4 bytes).
const EVENT_LEN_AT: usize = 9;
/// Status byte before each event of a dump: OK.
const STATUS_OK: u8 = 0;

/// Pieces of events from this length on are not copied.
pub const DIRECT_BYTES_MIN: usize = 16 << 10;

/// What is left to do for events that were put into packets.
#[derive(Clone, Copy, Debug)]
pub struct Framed<'a> {
    /// Goes to the client as it is, behind what was appended and before anything else is.
    pub direct: &'a [u8],
    /// To be given next. It is all done when both are empty.
    pub rest: &'a [u8],
}

impl Framed<'_> {
    /// Whether there is nothing left to do.
    pub fn is_done(&self) -> bool {
        self.direct.is_empty() && self.rest.is_empty()
    }
}

/// Puts a stream of events into packets. The stream may be cut anywhere, except inside the 19-byte
/// header of an event.
#[derive(Debug, Default)]
pub(super) struct Framer {
    /// Sequence number of the next packet.
    seq: u8,
    /// Bytes of the current event that have not come yet.
    event_left: u64,
    /// Bytes that the current packet still takes; 0 also between events.
    packet_left: usize,
    /// The current packet is of full length, so another one has to follow it.
    packet_full: bool,
}

impl Framer {
    /// A framer whose first packet has the number `seq`.
    pub(super) fn new(seq: u8) -> Framer {
        Framer {
            seq,
            ..Framer::default()
        }
    }

    /// Whether the last event is complete, so that something else may be sent.
    pub(super) fn between_events(&self) -> bool {
        self.event_left == 0 && !self.packet_full
    }

    /// Number for the next packet.
    pub(super) fn seq(&self) -> u8 {
        self.seq
    }

    /// Appends `events` to `out`, in packets, until `out` has `out_max` bytes or the headers of one packet
    /// more, or until a long piece of an event is next.
    pub(super) fn frame<'a>(
        &mut self,
        mut events: &'a [u8],
        out: &mut Vec<u8>,
        out_max: usize,
    ) -> Framed<'a> {
        self.end(out);
        // Room for events of 40 bytes, the shortest there are in number.
        let room = (events.len() + events.len() / 8).min(out_max.saturating_sub(out.len()));
        out.reserve(room + HEADERS_LEN);
        while !events.is_empty() && out.len() < out_max {
            if self.event_left == 0 {
                let len = event_len(events);
                let fits = events.len() >= len && out.len() + len <= out_max;
                if fits && len < DIRECT_BYTES_MIN {
                    let (event, rest) = events.split_at(len);
                    self.open(len + 1, out);
                    out.push(STATUS_OK);
                    out.extend_from_slice(event);
                    self.packet_left = 0;
                    events = rest;
                    continue;
                }
                self.event_left = len as u64;
                self.open(len + 1, out);
                out.push(STATUS_OK);
                self.packet_left -= 1;
            } else if self.packet_left == 0 {
                self.open(self.event_left as usize, out);
            }
            let take = events.len().min(self.packet_left);
            let direct = take >= DIRECT_BYTES_MIN;
            let room = out_max.saturating_sub(out.len());
            let (piece, rest) = events.split_at(if direct { take } else { take.min(room) });
            self.packet_left -= piece.len();
            self.event_left -= piece.len() as u64;
            if direct {
                return Framed {
                    direct: piece,
                    rest,
                };
            }
            out.extend_from_slice(piece);
            events = rest;
            self.end(out);
        }
        Framed {
            direct: &[],
            rest: events,
        }
    }

    /// A full packet that ends with its event is followed by an empty one.
    fn end(&mut self, out: &mut Vec<u8>) {
        if self.event_left == 0 && self.packet_full {
            assert!(self.packet_left == 0, "a full packet ends with the event");
            self.open(0, out);
        }
    }

    /// Writes the header of a packet for the first part of `payload` bytes.
    fn open(&mut self, payload: usize, out: &mut Vec<u8>) {
        let len = payload.min(PACKET_PAYLOAD_MAX);
        let [low, middle, high, _] = (len as u32).to_le_bytes();
        let header: [u8; PACKET_HEADER_LEN] = [low, middle, high, self.seq];
        out.extend_from_slice(&header);
        self.seq = self.seq.wrapping_add(1);
        self.packet_left = len;
        self.packet_full = len == PACKET_PAYLOAD_MAX;
    }
}

/// The length of the event that begins here.
fn event_len(events: &[u8]) -> usize {
    assert!(
        events.len() >= HEADER_LEN,
        "the stream is not cut inside an event header"
    );
    let len: [u8; 4] = events[EVENT_LEN_AT..EVENT_LEN_AT + 4]
        .try_into()
        .expect("four bytes");
    let len = u32::from_le_bytes(len) as usize;
    assert!(len >= HEADER_LEN, "an event is at least its header");
    len
}
