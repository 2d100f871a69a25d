//! Events into packets: header, status byte, event; split where a packet is full.

use crate::event::HEADER_LEN;

/// Longest payload of one packet; a payload of this length is followed by another packet.
const PACKET_PAYLOAD_MAX: usize = 0xff_ffff;
/// Length of a packet's own header: 3 bytes of length, 1 of sequence number.
const PACKET_HEADER_LEN: usize = 4;
/// What a packet has in front of an event: its header, and the status byte.
const BEFORE_EVENT_LEN: usize = PACKET_HEADER_LEN + 1;
/// Where an event's header has the event's length (4 bytes).
const EVENT_LEN_AT: usize = 9;
/// Status byte before each event of a dump: OK.
const STATUS_OK: u8 = 0;

/// Room that packets are put into; with less left, there is no place for the headers of one more.
pub const PACKETS_ROOM_MIN: usize = 64;

/// Pieces of events from this length on are not copied.
pub const DIRECT_BYTES_MIN: usize = 16 << 10;

/// What became of events that were to be put into packets.
#[derive(Clone, Copy, Debug)]
pub struct Framed<'a> {
    /// Bytes that were put into the room; they go to the client first.
    pub filled: usize,
    /// Goes to the client then, as it is, and before anything else does.
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

    /// Puts `events` into packets in `room`, as far as they fit, or until a long piece of an event is next.
    pub(super) fn frame<'a>(&mut self, mut events: &'a [u8], room: &mut [u8]) -> Framed<'a> {
        assert!(room.len() >= PACKETS_ROOM_MIN, "there is room for headers");
        // Of an event whose last piece was not copied.
        let mut filled = self.end(room);
        loop {
            let whole = self.whole_events(events, &mut room[filled..]);
            filled += whole.filled;
            events = whole.rest;
            let left = &mut room[filled..];
            if events.is_empty() || left.len() < PACKETS_ROOM_MIN {
                break;
            }
            if self.event_left == 0 {
                let len = event_len(events);
                self.event_left = len as u64;
                let status_at = self.open(len + 1, left);
                left[status_at] = STATUS_OK;
                self.packet_left -= 1;
                filled += BEFORE_EVENT_LEN;
            } else if self.packet_left == 0 {
                filled += self.open(self.event_left as usize, left);
            }
            let (piece, rest) = events.split_at(events.len().min(self.packet_left));
            if piece.len() >= DIRECT_BYTES_MIN {
                self.took(piece);
                return Framed {
                    filled,
                    direct: piece,
                    rest,
                };
            }
            let left = &mut room[filled..];
            // Behind an event that ends here goes the header of an empty packet, perhaps.
            let piece = &piece[..piece.len().min(left.len() - PACKET_HEADER_LEN)];
            left[..piece.len()].copy_from_slice(piece);
            self.took(piece);
            filled += piece.len();
            filled += self.end(&mut room[filled..]);
            events = &events[piece.len()..];
        }
        Framed {
            filled,
            direct: &[],
            rest: events,
        }
    }

    /// The usual case, and so a loop of its own: short events of which all is here, one packet each.
    fn whole_events<'a>(&mut self, mut events: &'a [u8], room: &mut [u8]) -> Framed<'a> {
        let mut filled = 0;
        let between = self.between_events();
        while between && !events.is_empty() {
            let len = event_len(events);
            let packet = room.get_mut(filled..filled + BEFORE_EVENT_LEN + len);
            let (Some(packet), Some(event)) = (packet, events.get(..len)) else {
                break;
            };
            if len >= DIRECT_BYTES_MIN {
                break;
            }
            let head = ((len + 1) as u32 | u32::from(self.seq) << 24).to_le_bytes();
            packet[..PACKET_HEADER_LEN].copy_from_slice(&head);
            packet[PACKET_HEADER_LEN] = STATUS_OK;
            packet[BEFORE_EVENT_LEN..].copy_from_slice(event);
            self.seq = self.seq.wrapping_add(1);
            filled += BEFORE_EVENT_LEN + len;
            events = &events[len..];
        }
        Framed {
            filled,
            direct: &[],
            rest: events,
        }
    }

    /// A full packet that ends with its event is followed by an empty one; returns the length of that.
    fn end(&mut self, room: &mut [u8]) -> usize {
        if self.event_left > 0 || !self.packet_full {
            return 0;
        }
        assert!(self.packet_left == 0, "a full packet ends with its event");
        self.open(0, room)
    }

    /// This much of the event is on its way.
    fn took(&mut self, piece: &[u8]) {
        self.packet_left -= piece.len();
        self.event_left -= piece.len() as u64;
    }

    /// Writes the header of a packet for the first part of `payload` bytes; returns its length.
    fn open(&mut self, payload: usize, room: &mut [u8]) -> usize {
        let len = payload.min(PACKET_PAYLOAD_MAX);
        let head = (len as u32 | u32::from(self.seq) << 24).to_le_bytes();
        room[..PACKET_HEADER_LEN].copy_from_slice(&head);
        self.seq = self.seq.wrapping_add(1);
        self.packet_left = len;
        self.packet_full = len == PACKET_PAYLOAD_MAX;
        PACKET_HEADER_LEN
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
