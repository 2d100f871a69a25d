//! Events in packets, read back by one who puts packets together.

use bytes::BytesMut;
use kingbus_core::packet::{Inbound, PACKET_BYTES_MAX};
use kingbus_core::replica::{DIRECT_BYTES_MIN, PACKETS_ROOM_MIN};
use proptest::prelude::*;

use crate::dumps::dumping;

/// An event of this length; its bytes are made from it.
pub(crate) fn event(len: usize) -> Vec<u8> {
    let mut event: Vec<u8> = (0..len).map(|n| (n * 7 + len) as u8).collect();
    event[9..13].copy_from_slice(&(len as u32).to_le_bytes());
    event
}

/// What a client gets of these events when the stream comes in pieces that end at `cuts`, and is sent in
/// pieces of `room` bytes.
fn received(events: &[Vec<u8>], cuts: &[usize], room: usize) -> Vec<Vec<u8>> {
    let stream = events.concat();
    let mut client = dumping();
    let (mut sent, mut room) = (Vec::new(), vec![0; room]);
    let mut from = 0;
    for to in cuts.iter().copied().chain([stream.len()]) {
        let mut left = &stream[from..to];
        loop {
            let framed = client.session.frame(left, &mut room);
            sent.extend_from_slice(&room[..framed.filled]);
            assert!(framed.direct.is_empty() || framed.direct.len() >= DIRECT_BYTES_MIN);
            sent.extend_from_slice(framed.direct);
            if framed.is_done() {
                break;
            }
            let goes_on = framed.filled + framed.direct.len() > 0;
            assert!(goes_on, "there is always room for something");
            left = framed.rest;
        }
        from = to;
    }
    let out = sent;
    let mut input = BytesMut::from(&out[..]);
    let mut received = Vec::new();
    let mut next_seq = 1_u8;
    while !input.is_empty() {
        let payload = Inbound::new(1 << 27)
            .feed(&mut input)
            .expect("whole")
            .expect("in order");
        let packets = payload.bytes.len() / PACKET_BYTES_MAX + 1;
        assert_eq!(
            payload.seq,
            next_seq.wrapping_add(packets as u8 - 1),
            "numbers go on"
        );
        next_seq = payload.seq.wrapping_add(1);
        assert_eq!(payload.bytes[0], 0, "status");
        received.push(payload.bytes[1..].to_vec());
    }
    received
}

#[test]
fn events_around_the_size_of_a_packet_come_over() {
    // With the status byte before it, an event of 2^24 - 2 bytes fills a packet.
    for len in [
        PACKET_BYTES_MAX - 2,
        PACKET_BYTES_MAX - 1,
        PACKET_BYTES_MAX,
        PACKET_BYTES_MAX + 1,
        2 * PACKET_BYTES_MAX - 2,
        2 * PACKET_BYTES_MAX - 1,
        2 * PACKET_BYTES_MAX,
    ] {
        let events = [event(40), event(len), event(41)];
        let end = 40 + len;
        for cuts in [
            vec![],
            vec![40 + 19, end],
            vec![40, end - 1],
            vec![40 + PACKET_BYTES_MAX - 2],
            (1..end / (1 << 20)).map(|n| 40 + (n << 20)).collect(),
        ] {
            for room in [PACKETS_ROOM_MIN, 100_000, 1 << 20] {
                assert!(received(&events, &cuts, room) == events, "{len} {cuts:?}");
            }
        }
    }
}

/// The last piece of an event that fills its packets is short: the empty packet behind it goes along.
#[test]
fn the_end_of_full_packets_is_not_kept_back() {
    let whole = event(PACKET_BYTES_MAX - 1);
    for (last, room) in
        (1..120).flat_map(|last| [PACKETS_ROOM_MIN, 90, 130].map(|room| (last, room)))
    {
        let mut client = dumping();
        let mut room = vec![0; room];
        let mut sent = 0;
        for mut left in [&whole[..whole.len() - last], &whole[whole.len() - last..]] {
            loop {
                let framed = client.session.frame(left, &mut room);
                sent += framed.filled + framed.direct.len();
                if framed.is_done() {
                    break;
                }
                left = framed.rest;
            }
        }
        // One header and the status byte before it, and the header of an empty packet behind it.
        assert_eq!(
            sent,
            5 + whole.len() + 4,
            "the last {last} bytes, room for {}",
            room.len()
        );
    }
}

#[test]
fn numbers_wrap() {
    let events: Vec<Vec<u8>> = (0..600).map(|n| event(19 + n % 50)).collect();
    assert!(received(&events, &[], 1_000) == events);
}

proptest! {
    #[test]
    fn any_cut_outside_of_headers_gives_the_same(
        lens in prop::collection::vec(19_usize..200, 1..20),
        wanted in prop::collection::vec(0_usize..4000, 0..20),
        room in PACKETS_ROOM_MIN..5000,
    ) {
        let events: Vec<Vec<u8>> = lens.iter().map(|len| event(*len)).collect();
        let starts: Vec<usize> = lens.iter().scan(0, |at, len| {
            let start = *at;
            *at += len;
            Some(start)
        }).collect();
        let end: usize = lens.iter().sum();
        let in_header = |cut: usize| starts.iter().any(|start| cut > *start && cut < start + 19);
        let mut cuts: Vec<usize> =
            wanted.into_iter().filter(|cut| *cut <= end && !in_header(*cut)).collect();
        cuts.sort_unstable();
        prop_assert!(received(&events, &cuts, room) == events);
    }
}
