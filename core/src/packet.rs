//! MySQL's packets: three bytes of length, a sequence number, the payload. A payload of 2^24 - 1
//! bytes or more goes in several packets, of which the last is shorter than that (and may be empty).

use bytes::{Bytes, BytesMut};

/// Length of a packet's header.
pub const HEADER_LEN: usize = 4;

/// Most bytes in one packet; a packet of this length is followed by another of the same payload.
pub const PACKET_BYTES_MAX: usize = 0xff_ffff;

/// Appends `payload` to `out`, in as many packets as it takes. `seq` is the number of the first one;
/// it counts on with each packet, and wraps.
pub fn write_packet(out: &mut Vec<u8>, seq: &mut u8, payload: &[u8]) {
    let mut rest = payload;
    loop {
        let (part, after) = rest.split_at(rest.len().min(PACKET_BYTES_MAX));
        out.extend_from_slice(&header(part.len(), *seq));
        out.extend_from_slice(part);
        *seq = seq.wrapping_add(1);
        rest = after;
        if part.len() < PACKET_BYTES_MAX {
            return;
        }
    }
}

/// The header of a packet of `len` bytes.
pub fn header(len: usize, seq: u8) -> [u8; HEADER_LEN] {
    assert!(
        len <= PACKET_BYTES_MAX,
        "one packet has at most 2^24 - 1 bytes"
    );
    let [a, b, c, _] = (len as u32).to_le_bytes();
    [a, b, c, seq]
}

/// Length and sequence number from a packet's header; None when `input` is shorter than one.
pub fn parse_header(input: &[u8]) -> Option<(usize, u8)> {
    let &[a, b, c, seq] = input.first_chunk::<HEADER_LEN>()?;
    Some((u32::from_le_bytes([a, b, c, 0]) as usize, seq))
}

/// A whole payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Sequence number of its last packet; an answer goes on with the next.
    pub seq: u8,
    /// Its bytes.
    pub bytes: Bytes,
}

/// The stream is not one of packets, or not one that is accepted here; it cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketError {
    /// A payload is longer than this side takes.
    TooLong {
        /// Most bytes that are taken.
        limit: usize,
    },
    /// The packets of one payload are not numbered one after the other.
    Sequence,
}

impl std::fmt::Display for PacketError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PacketError::TooLong { limit } => write!(f, "a packet is longer than {limit} bytes"),
            PacketError::Sequence => f.write_str("the packets of one payload are out of order"),
        }
    }
}

impl std::error::Error for PacketError {}

/// Puts packets together to whole payloads of bounded length: for all but the stream of events.
#[derive(Debug)]
pub struct Inbound {
    limit: usize,
    /// The packets so far of a payload that has several, and the number of the last one.
    begun: Option<(BytesMut, u8)>,
}

impl Inbound {
    /// Takes payloads of at most `limit` bytes.
    pub fn new(limit: usize) -> Inbound {
        Inbound { limit, begun: None }
    }

    /// The next payload, taken off the front of `input`; None when it is not all there. Nothing is
    /// allocated for a payload before its length is known to be within the limit.
    pub fn feed(&mut self, input: &mut BytesMut) -> Option<Result<Payload, PacketError>> {
        loop {
            let (len, seq) = parse_header(input)?;
            let before = self.begun.as_ref().map_or(0, |(bytes, _)| bytes.len());
            if before + len > self.limit {
                return Some(Err(PacketError::TooLong { limit: self.limit }));
            }
            if let Some(missing) = (HEADER_LEN + len)
                .checked_sub(input.len())
                .filter(|m| *m > 0)
            {
                input.reserve(missing);
                return None;
            }
            let part = input.split_to(HEADER_LEN + len).split_off(HEADER_LEN);
            let whole = match self.begun.take() {
                Some((_, last)) if last.wrapping_add(1) != seq => {
                    return Some(Err(PacketError::Sequence));
                }
                Some((mut bytes, _)) => {
                    bytes.extend_from_slice(&part);
                    bytes
                }
                None => part,
            };
            if len < PACKET_BYTES_MAX {
                return Some(Ok(Payload {
                    seq,
                    bytes: whole.freeze(),
                }));
            }
            self.begun = Some((whole, seq));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packets(payload: &[u8], mut seq: u8) -> Vec<u8> {
        let mut out = Vec::new();
        write_packet(&mut out, &mut seq, payload);
        out
    }

    #[test]
    fn a_payload_of_an_exact_multiple_ends_with_an_empty_packet() {
        for (len, lens) in [
            (0, vec![0]),
            (PACKET_BYTES_MAX - 1, vec![PACKET_BYTES_MAX - 1]),
            (PACKET_BYTES_MAX, vec![PACKET_BYTES_MAX, 0]),
            (PACKET_BYTES_MAX + 1, vec![PACKET_BYTES_MAX, 1]),
            (
                2 * PACKET_BYTES_MAX,
                vec![PACKET_BYTES_MAX, PACKET_BYTES_MAX, 0],
            ),
        ] {
            let payload = vec![7; len];
            let out = packets(&payload, 255);
            let (mut at, mut seen, mut seq) = (0, Vec::new(), 255u8);
            while at < out.len() {
                let (len, number) = parse_header(&out[at..]).unwrap();
                assert_eq!(number, seq);
                seq = seq.wrapping_add(1);
                seen.push(len);
                at += HEADER_LEN + len;
            }
            assert_eq!(seen, lens);

            let mut input = BytesMut::from(&out[..]);
            let read = Inbound::new(1 << 26).feed(&mut input).unwrap().unwrap();
            assert!(read.bytes == payload && input.is_empty());
            assert_eq!(read.seq, seq.wrapping_sub(1));
        }
    }

    #[test]
    fn a_payload_over_the_limit_is_refused_at_its_header() {
        let mut input = BytesMut::from(&[0xff, 0xff, 0xff, 0][..]);
        let refused = Inbound::new(1024).feed(&mut input);
        assert_eq!(refused, Some(Err(PacketError::TooLong { limit: 1024 })));
        assert!(input.capacity() < 4096);
    }

    #[test]
    fn packets_of_one_payload_must_count_on() {
        let mut out = packets(&vec![0; PACKET_BYTES_MAX + 5], 0);
        out[HEADER_LEN + PACKET_BYTES_MAX + 3] = 9;
        let read = Inbound::new(1 << 26).feed(&mut BytesMut::from(&out[..]));
        assert_eq!(read, Some(Err(PacketError::Sequence)));
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_payloads(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cuts in prop::collection::vec(1usize..40, 1..60),
        ) {
            let mut stream = Vec::new();
            for payload in &payloads {
                write_packet(&mut stream, &mut 3, payload);
            }
            let (mut inbound, mut input) = (Inbound::new(4096), BytesMut::new());
            let (mut read, mut rest, mut cuts) = (Vec::new(), &stream[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                input.extend_from_slice(now);
                rest = later;
                while let Some(payload) = inbound.feed(&mut input) {
                    read.push(payload.unwrap().bytes.to_vec());
                }
            }
            prop_assert_eq!(read, payloads);
        }
    }
}
