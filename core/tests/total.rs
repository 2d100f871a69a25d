//! Every parser of events answers for any bytes, without a panic.

use kingbus_core::event::boundary::Boundary;
use kingbus_core::event::{
    self, Checksum, FormatDescription, GtidEvent, HEADER_LEN, Header, Heartbeat, PayloadHeader,
    Query, Rotate, kind,
};
use kingbus_core::reader::Reader;
use proptest::collection::vec;
use proptest::prelude::*;

fn all_parsers(event: &[u8]) {
    event::checksum_ok(event);
    let _ = FormatDescription::parse(event);
    let made = event::without_created(event);
    assert_eq!(made.len(), event.len());
    for checksum in [Checksum::None, Checksum::Crc32] {
        let _ = Rotate::parse(event, checksum);
        let _ = GtidEvent::parse(event, checksum);
        let _ = Heartbeat::parse(event, checksum);
        let _ = PayloadHeader::parse(event, checksum);
        let _ = Query::parse(event, checksum);
        let _ = event::parse_previous_gtids(event, checksum);
    }
}

/// Bytes behind a header whose length is right, so that parsers get past it.
fn event_of(kind: u8, body: &[u8]) -> Vec<u8> {
    let head = Header {
        kind,
        len: (HEADER_LEN + body.len()) as u32,
        ..Header::default()
    };
    let mut event = head.encode().to_vec();
    event.extend_from_slice(body);
    event
}

/// Small bytes are likely to be lengths and field codes that make sense.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => 0u8..12, 1 => any::<u8>()];
    prop_oneof![vec(byte, 0..160), vec(any::<u8>(), 0..160)]
}

proptest! {
    #[test]
    fn parsers_are_total_on_any_bytes(bytes in vec(any::<u8>(), 0..200)) {
        all_parsers(&bytes);
    }

    #[test]
    fn parsers_are_total_on_any_body(kind in 0u8..45, body in body()) {
        all_parsers(&event_of(kind, &body));
    }

    #[test]
    fn parsers_are_total_on_cut_and_lengthened_events(
        kind in 0u8..45, body in body(), len in any::<u32>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut event = event_of(kind, &body);
        all_parsers(&event[..cut.index(event.len())]);
        event[9..13].copy_from_slice(&len.to_le_bytes());
        all_parsers(&event);
    }

    #[test]
    fn boundaries_are_total(events in vec((0u8..45, body()), 0..20), checksum in any::<bool>()) {
        let checksum = if checksum { Checksum::Crc32 } else { Checksum::None };
        let mut boundary = Boundary::new();
        for (kind, body) in events {
            // Transactions begin, so that what is inside of them is reached too.
            let mut gtid = vec![0; 17 + 8 + checksum.trailer_len()];
            gtid[17] = 1;
            for event in [event_of(kind::GTID, &gtid), event_of(kind, &body)] {
                let head = Header::parse(&event).unwrap();
                let before = boundary.open();
                if boundary.event(&head, &event, checksum).is_err() {
                    prop_assert_eq!(boundary.open(), before);
                }
            }
        }
    }

    #[test]
    fn headers_round_trip(bytes in any::<[u8; HEADER_LEN]>()) {
        if let Some(head) = Header::parse(&bytes) {
            prop_assert_eq!(head.encode(), bytes);
        } else {
            prop_assert!(u32::from_le_bytes(bytes[9..13].try_into().unwrap()) < 19);
        }
    }

    #[test]
    fn names_and_positions_that_no_source_has_are_refused(
        position in (1_u64 << 62) + 1.., len in 236_usize..600,
    ) {
        let long = "b".repeat(len);
        for (file, position) in [("binlog.000001", position), (&long, 4)] {
            let rotate = event::make_rotate(1, file, position, true);
            prop_assert!(Rotate::parse(&rotate, Checksum::Crc32).is_err());
            let beat = event::make_heartbeat_v2(1, file, position, true);
            prop_assert!(Heartbeat::parse(&beat, Checksum::Crc32).is_err());
        }
    }

    #[test]
    fn made_events_are_read_back(
        server_id in any::<u32>(), position in 0..=1_u64 << 62, file in "[a-z.0-9]{1,100}",
        with_crc in any::<bool>(),
    ) {
        let checksum = if with_crc { Checksum::Crc32 } else { Checksum::None };
        let rotate = event::make_rotate(server_id, &file, position, with_crc);
        let found = Rotate::parse(&rotate, checksum).unwrap();
        prop_assert_eq!((&found.file, found.position), (&file, position));
        let v1 = event::make_heartbeat(server_id, &file, position, with_crc);
        let found = Heartbeat::parse(&v1, checksum).unwrap();
        prop_assert_eq!((&found.file, found.position), (&file, position & 0xffff_ffff));
        let v2 = event::make_heartbeat_v2(server_id, &file, position, with_crc);
        let found = Heartbeat::parse(&v2, checksum).unwrap();
        prop_assert_eq!((&found.file, found.position), (&file, position));
        for made in [rotate, v1, v2] {
            prop_assert!(!with_crc || event::checksum_ok(&made));
            prop_assert_eq!(Header::parse(&made).unwrap().server_id, server_id);
        }
    }

    #[test]
    fn readers_are_total(bytes in vec(any::<u8>(), 0..40), ops in vec(0u8..14, 0..20)) {
        let mut r = Reader::new(&bytes);
        for op in ops {
            let before = r.len();
            let found = match op {
                0 => r.u8().is_some(),
                1 => r.u16().is_some(),
                2 => r.u24().is_some(),
                3 => r.u32().is_some(),
                4 => r.u48().is_some(),
                5 => r.u56().is_some(),
                6 => r.u64().is_some(),
                7 => r.lenenc().is_some(),
                8 => r.lenenc_bytes().is_some(),
                9 => r.nul_str().is_some(),
                10 => r.varint().is_some(),
                11 => r.varint_signed().is_some(),
                12 => r.bytes(3).is_some(),
                _ => r.bytes(usize::MAX).is_some(),
            };
            prop_assert_eq!(found, r.len() < before, "a failed read takes nothing");
        }
    }
}
