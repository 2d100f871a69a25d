//! The stream of events through a session.

use kingbus_core::chunk::{CHUNK_BYTES_MAX, Chunk, Part};
use kingbus_core::event::{kind, make_heartbeat_v2};
use kingbus_core::source::{Input, Settings, UNCOMMITTED_BYTES_MAX};
use proptest::prelude::*;

use crate::assembler::Sink;
use crate::binlog::{Binlog, SERVER_ID};
use crate::server::{Wire, settings, stream};

/// A packet holds this many bytes at most.
const PACKET: usize = (1 << 24) - 1;

fn plain() -> Settings {
    Settings {
        semi_sync: false,
        ..settings()
    }
}

/// Feeds the stream in pieces and commits every chunk; returns what came out, and the most bytes
/// that the session held.
fn feed(
    wire: &mut Wire,
    mut bytes: &[u8],
    pieces: impl IntoIterator<Item = usize>,
) -> (Sink, usize) {
    let (mut sink, mut held_max) = (Sink::new(), 0);
    let mut pieces = pieces.into_iter();
    while !bytes.is_empty() {
        let len = pieces.next().unwrap_or(65_536).min(bytes.len());
        wire.receives(&bytes[..len]);
        bytes = &bytes[len..];
        let uncommitted: usize = wire.chunks.iter().map(|(_, body)| body.len()).sum();
        held_max = held_max.max(uncommitted + wire.session.buffer().len());
        while !wire.chunks.is_empty() {
            for (seq, body) in std::mem::take(&mut wire.chunks) {
                sink.take(seq, &body);
                wire.step(Input::Committed { seq });
            }
        }
        if wire.failed.is_some() {
            break;
        }
    }
    (sink, held_max)
}

#[test]
fn events_around_the_length_of_a_packet_arrive_whole() {
    // The status byte is in the packet too: an event of 2^24 - 2 bytes fills one exactly.
    for semi_sync in [false, true] {
        for len in [
            PACKET - 4,
            PACKET - 3,
            PACKET - 2,
            PACKET - 1,
            PACKET,
            PACKET + 1,
            2 * PACKET - 1,
        ] {
            let mut binlog = Binlog::new(true);
            binlog.begin();
            binlog.row(len);
            binlog.event(kind::XID, &[0; 8]);
            let mut wire = Wire::dumping(Settings {
                semi_sync,
                ..settings()
            });
            let (sink, held_max) = feed(&mut wire, &stream(&binlog.stream, semi_sync), []);
            assert_eq!(wire.failed, None);
            assert!(sink.bytes == binlog.bytes, "{len}");
            assert_eq!(sink.whole, binlog.executed);
            assert!(held_max < 3 * CHUNK_BYTES_MAX, "{held_max}");
        }
    }
}

#[test]
fn an_event_of_forty_megabytes_is_never_held_whole() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[40 << 20]);
    let bytes = stream(&binlog.stream, false);
    let mut wire = Wire::dumping(plain());
    let (sink, held_max) = feed(&mut wire, &bytes, []);
    assert!(sink.bytes == binlog.bytes && held_max < 3 * CHUNK_BYTES_MAX);
    assert!(wire.session.buffer().capacity() < CHUNK_BYTES_MAX);
    assert_eq!(
        sink.chunks
            .iter()
            .filter(|c| c.part == Part::Middle)
            .count(),
        39
    );
}

#[test]
fn without_commits_the_socket_is_left_alone() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[40 << 20]);
    let bytes = stream(&binlog.stream, false);
    let mut wire = Wire::dumping(plain());
    let mut at = 0;
    while wire.session.wants_input() {
        wire.receives(&bytes[at..at + 50_000]);
        at += 50_000;
    }
    assert!(at < UNCOMMITTED_BYTES_MAX + 2 * CHUNK_BYTES_MAX);
    // However long the store takes, that is no silence of the source.
    wire.step(Input::Tick(100_000));
    assert_eq!(wire.failed, None);
    wire.step(Input::Committed { seq: 5 });
    assert!(wire.session.wants_input());
}

#[test]
fn acknowledgements_go_out_when_the_chunk_is_committed() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[50]);
    let mut wire = Wire::dumping(settings());
    wire.receives(&stream(&binlog.stream, true));
    assert!(wire.silent(), "not before the commit");
    let first_end = binlog.position;
    let before = binlog.stream.len();
    binlog.transaction(&[50]);
    binlog.transaction(&[50]);
    wire.receives(&stream(&binlog.stream[before..], true));
    assert_eq!(wire.chunks.len(), 2, "little is under way");
    assert!(wire.silent());
    wire.step(Input::Committed { seq: 0 });
    let ack = |position: u64| {
        let mut ack = vec![0xef];
        ack.extend_from_slice(&position.to_le_bytes());
        ack.extend_from_slice(b"binlog.000001");
        (0, ack.into())
    };
    assert_eq!(wire.next(), ack(first_end));
    assert!(wire.silent());
    wire.step(Input::Committed { seq: 1 });
    assert_eq!(
        wire.next(),
        ack(binlog.position),
        "the last stands for both"
    );
    assert!(wire.silent());
}

#[test]
fn a_transaction_in_parts_is_acknowledged_with_its_last() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[3 << 20]);
    let mut wire = Wire::dumping(settings());
    wire.receives(&stream(&binlog.stream, true));
    let parts = wire.chunks.len() as u64;
    assert_eq!(parts, 5);
    for seq in 0..parts {
        assert!(wire.silent());
        wire.step(Input::Committed { seq });
    }
    assert_eq!(wire.next().1[1..9], binlog.position.to_le_bytes());
}

/// The acknowledgement of a transaction may be lost with a connection. The next one leaves it out, and
/// the commit that waits for it would wait for ever.
#[test]
fn a_heartbeat_is_acknowledged_once_all_before_it_is_committed() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[50]);
    let mut wire = Wire::dumping(settings());
    wire.receives(&stream(&binlog.stream[..3], true));
    let left_out = binlog.position;
    let beat = make_heartbeat_v2(SERVER_ID, &binlog.file, left_out, true);
    wire.receives(&stream(std::slice::from_ref(&beat), true));
    let ack = |position: u64| position.to_le_bytes();
    assert!(wire.silent(), "not before the file's header is committed");
    wire.step(Input::Committed { seq: 0 });
    assert_eq!(wire.next().1[1..9], ack(left_out));
    // Once for each place: a source that waits for nobody may not read them.
    wire.receives(&stream(&[beat], true));
    assert!(wire.silent());
    let beat = make_heartbeat_v2(SERVER_ID, &binlog.file, left_out + 100, true);
    wire.receives(&stream(&[beat], true));
    assert_eq!(wire.next().1[1..9], ack(left_out + 100));
    assert!(wire.silent());
}

#[test]
fn heartbeats_keep_the_connection_and_are_not_stored() {
    let mut binlog = Binlog::new(true);
    let mut wire = Wire::dumping(plain());
    wire.receives(&stream(&binlog.stream, false));
    wire.step(Input::Committed { seq: 0 });
    for second in 1..60 {
        wire.step(Input::Tick(second * 1000));
        let beat = make_heartbeat_v2(SERVER_ID, &binlog.file, binlog.position, true);
        wire.receives(&stream(&[beat], false));
    }
    assert_eq!((wire.failed.clone(), wire.chunks.len()), (None, 1));
    let before = binlog.stream.len();
    binlog.transaction(&[50]);
    wire.receives(&stream(&binlog.stream[before..], false));
    assert_eq!(wire.chunks.len(), 2);
}

#[test]
fn the_end_of_the_stream_tells_its_reason() {
    let purged =
        b"\xff\xd4\x04#HY000Cannot replicate because the source purged required binary logs.";
    for (payload, words) in [
        (
            &purged[..],
            "error 1236 (HY000): Cannot replicate because the source purged",
        ),
        (
            b"\xff\xcb\x04#42000Access denied; you need the REPLICATION SLAVE",
            "GRANT REPLICATION",
        ),
        (b"\xff\x1d\x07#08S01shutting down", "error 1821"),
        (b"\xfe\0\0\x02\0", "ended the stream of events"),
        (b"", "malformed"),
        (b"\x07", "malformed"),
        (b"\0short", "malformed"),
        (&[0; 40], "malformed"),
    ] {
        let binlog = Binlog::new(true);
        let mut wire = Wire::dumping(plain());
        wire.receives(&stream(&binlog.stream, false));
        wire.says(9, payload);
        assert!(wire.failure().contains(words), "{}", wire.failure());
    }
}

#[test]
fn packets_that_do_not_fit_the_event_are_malformed() {
    let mut binlog = Binlog::new(true);
    binlog.transaction(&[PACKET + 100]);
    let bytes = stream(&binlog.stream, false);
    // The header of the second packet of the long event says one byte more, or less.
    let second = bytes.len() - (4 + 1 + 31) - (4 + 101);
    assert_eq!(bytes[second..second + 3], [101, 0, 0]);
    for wrong in [100, 102] {
        let mut bytes = bytes.clone();
        bytes[second] = wrong;
        let mut wire = Wire::dumping(plain());
        feed(&mut wire, &bytes, []);
        assert!(wire.failure().contains("malformed"));
    }
}

#[test]
fn a_damaged_event_ends_the_connection_before_it_is_complete() {
    for len in [100, 3 << 20] {
        let mut binlog = Binlog::new(true);
        binlog.transaction(&[50]);
        let whole = binlog.executed.clone();
        binlog.begin();
        let (at, from) = (binlog.position, binlog.stream.len());
        binlog.row(len);
        binlog.event(kind::XID, &[0; 8]);
        binlog.stream[from][60] ^= 0x40;
        let mut wire = Wire::dumping(plain());
        let (sink, _) = feed(&mut wire, &stream(&binlog.stream, false), []);
        let place = format!("binlog.000001:{at}");
        assert!(wire.failure().contains(&place) && wire.failure().contains("checksum"));
        assert_eq!(sink.whole, whole);
    }
}

#[test]
fn a_connection_cut_anywhere_leaves_whole_transactions() {
    let mut binlog = Binlog::new(true);
    for rows in [&[50][..], &[1 << 20, 1 << 20], &[60, 70]] {
        binlog.transaction(rows);
    }
    let bytes = stream(&binlog.stream, false);
    for cut in (0..bytes.len())
        .step_by(9973)
        .chain(bytes.len() - 300..bytes.len())
    {
        let mut wire = Wire::dumping(plain());
        let (mut sink, _) = feed(&mut wire, &bytes[..cut], [500, 300, 700]);
        wire.step(Input::ConnectionLost("reset".to_owned()));
        for (seq, body) in &wire.chunks {
            sink.take(*seq, body);
        }
        assert!(binlog.bytes.starts_with(&sink.bytes));
        assert!(binlog.executed.contains_set(&sink.whole));
        assert!(wire.failure().contains("reset"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_cut_of_the_input_gives_the_same_bytes(
        transactions in prop::collection::vec(
            prop::collection::vec(prop_oneof![30usize..300, 100_000usize..150_000], 0..5), 0..8),
        pieces in prop::collection::vec(prop_oneof![1usize..8, 1usize..3000, 1usize..200_000], 1..50),
        semi_sync in any::<bool>(),
    ) {
        let mut binlog = Binlog::new(true);
        for rows in &transactions {
            binlog.transaction(rows);
        }
        binlog.rotate();
        let mut wire = Wire::dumping(Settings { semi_sync, ..settings() });
        let bytes = stream(&binlog.stream, semi_sync);
        let (sink, _) = feed(&mut wire, &bytes, pieces.iter().copied().cycle());
        prop_assert_eq!(&wire.failed, &None);
        prop_assert!(sink.bytes == binlog.bytes);
        prop_assert_eq!(sink.whole, binlog.executed);
    }

    #[test]
    fn foreign_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        flips in prop::collection::vec((0usize..6000, any::<u8>()), 1..4),
        phase in 0..3,
    ) {
        let mut wire = match phase {
            0 => Wire::new(settings()),
            1 => {
                let mut wire = Wire::new(settings());
                wire.log_in();
                wire
            }
            _ => Wire::dumping(plain()),
        };
        if phase < 2 {
            wire.says(0, &bytes);
            wire.says(1, &bytes);
            wire.receives(&bytes);
        } else {
            let mut binlog = Binlog::new(false);
            for len in [40, 200, 1000] {
                binlog.transaction(&[len, len]);
            }
            let mut stream = stream(&binlog.stream, false);
            for (at, value) in flips {
                let at = at % stream.len();
                stream[at] = value;
            }
            wire.receives(&stream);
        }
        for (_, body) in &wire.chunks {
            Chunk::parse(body).unwrap();
        }
    }
}
