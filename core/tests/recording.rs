//! Recordings: what is written is read back, and what is not as written is noticed.

use bytes::Bytes;
use kingbus_core::chunk::Part as ChunkPart;
use kingbus_core::gtid::{GtidSet, Uuid};
use kingbus_core::log::Recovered;
use kingbus_core::node::applied::Applied;
use kingbus_core::node::catalog::{Sealed, SourceDefinition, SourceFacts, Start};
use kingbus_core::node::index::{BinlogFile, Checkpoint, ChunkRow, Content, Row};
use kingbus_core::node::members::{Member, MemberChange, Members};
use kingbus_core::node::peer::Envelope;
use kingbus_core::node::port::{
    AdminInput, DiskInput, DumpRequest, Input, PeerInput, ReplicaInput, SourceInput,
};
use kingbus_core::node::{Config, Node};
use kingbus_core::recording::{Part, Reading, Recorder, Replay, Unreadable};
use kingbus_core::types::{Epoch, Index, NodeId, ReplicaId, SegmentId, Span, Term};
use raft::eraftpb::{Entry, Message, MessageType};

const FILE_HEADER: usize = 16;

fn set(text: &str) -> GtidSet {
    text.parse().expect("a GTID set")
}

fn config() -> Config {
    Config {
        id: NodeId(1),
        members: Members::new(vec![Member::voter(NodeId(1), "")]),
        cluster: Uuid([7; 16]),
        server_id: 33_070,
        seed: 5,
        opening: 1,
        segment_bytes: 1 << 20,
        long_body_bytes: 1 << 10,
        checkpoint_bytes: 16 << 10,
        recent_rows_max: 16,
        retain_bytes: Some(1 << 20),
        retain_slack_bytes: 1 << 20,
    }
}

fn span() -> Span {
    Span {
        segment: SegmentId(3),
        offset: 4096,
        len: 500,
    }
}

fn row() -> Row {
    Row {
        index: Index(9),
        term: Term(2),
        span: span(),
        content: Content::Chunk(ChunkRow {
            part: ChunkPart::Last,
            void: false,
            begins_file: true,
            epoch: Epoch(4),
            file_ordinal: 7,
            start_position: 4,
            end_position: 1 << 33,
            events_from: 56,
            events_to: 400,
            gtids: set("8bc176b8-e510-11f1-b9c4-02fc00000001:1-5:blue:7"),
            commits: (1, 2),
            rotates: false,
        }),
    }
}

fn file() -> BinlogFile {
    BinlogFile {
        ordinal: 7,
        name: "binlog.000007".to_owned(),
        first: Index(9),
        span: span(),
        events_from: 56,
        format_len: 120,
        header_len: 160,
        mark: Default::default(),
        checksum: true,
        raise: 0,
        log_bytes: 4096,
    }
}

fn message() -> Message {
    let mut message = Message {
        msg_type: MessageType::MsgAppend,
        from: 2,
        to: 1,
        term: 3,
        index: 8,
        log_term: 2,
        commit: 7,
        ..Message::default()
    };
    let entry = Entry {
        index: 9,
        term: 3,
        data: Bytes::from_static(b"payload"),
        context: Bytes::from_static(b"context"),
        ..Entry::default()
    };
    message.set_entries(vec![entry].into());
    message
}

/// Every kind of input there is, each at least once.
fn every_input() -> Vec<Input> {
    let facts = SourceFacts {
        version: "9.7.0".to_owned(),
        server_id: 1,
        server_uuid: Uuid([1; 16]),
        binlog_checksum: "CRC32".to_owned(),
        owned: GtidSet::new(),
        executed: set("8bc176b8-e510-11f1-b9c4-02fc00000001:1-9"),
        purged: GtidSet::new(),
        semi_sync: true,
    };
    let definition = SourceDefinition {
        host: "db1".to_owned(),
        port: 3306,
        user: "repl".to_owned(),
        password: Sealed(vec![1, 2, 3]),
        start: Start::After(set("8bc176b8-e510-11f1-b9c4-02fc00000001:1-3")),
        semi_sync: true,
    };
    let request = DumpRequest {
        executed: GtidSet::new(),
        uuid: Some(Uuid([2; 16])),
        server_id: 12,
        client: "repl@10.0.0.7:40112".to_owned(),
        non_block: false,
        heartbeat_ms: 500,
        heartbeat_v2: true,
        checksum: true,
    };
    let envelope = Envelope {
        from: NodeId(2),
        to: NodeId(1),
        leader_commit: Index(8),
        leader_has: Index(0),
        needs: Index(3),
        gone: false,
        disk: None,
        disk_known: None,
        message: message(),
    };
    let checkpoint = Checkpoint {
        applied: Applied {
            file: Some(file()),
            ..Applied::default()
        },
        segment: SegmentId(2),
        offset: 64,
        terms: vec![(Index(1), Term(1)), (Index(8), Term(2))],
    };
    let epoch = Epoch(4);
    let replica = ReplicaId(6);
    vec![
        Input::Tick,
        Input::Peer(PeerInput::Message(envelope)),
        Input::Peer(PeerInput::Unreachable(NodeId(3))),
        Input::Source(SourceInput::Established { epoch, facts }),
        Input::Source(SourceInput::Chunk {
            epoch,
            seq: 1,
            body: Bytes::from_static(&[7; 300]),
        }),
        Input::Source(SourceInput::Failed {
            epoch,
            error: "gone".to_owned(),
        }),
        Input::Replica(ReplicaInput::Dump { replica, request }),
        Input::Replica(ReplicaInput::Drained { replica, bytes: 12 }),
        Input::Replica(ReplicaInput::Closed { replica }),
        Input::Disk(DiskInput::Written { seq: 2 }),
        Input::Disk(DiskInput::Full(true)),
        Input::Disk(DiskInput::Rows {
            token: 1,
            rows: vec![row(), row()],
        }),
        Input::Disk(DiskInput::Checkpoint {
            token: 2,
            checkpoint: Some(Box::new(checkpoint)),
        }),
        Input::Disk(DiskInput::File {
            token: 3,
            file: Some(file()),
        }),
        Input::Disk(DiskInput::Files {
            token: 5,
            files: vec![file(), file()],
        }),
        Input::Disk(DiskInput::Body {
            token: 4,
            body: Bytes::from_static(b"body"),
        }),
        Input::Disk(DiskInput::Damaged {
            text: "segment 3".to_owned(),
        }),
        Input::Admin(AdminInput::Status { token: 1 }),
        Input::Admin(AdminInput::Purge {
            token: 3,
            to: "binlog.000007".to_owned(),
        }),
        Input::Admin(AdminInput::SetSource {
            token: 2,
            definition: Some(definition),
        }),
        Input::Admin(AdminInput::ChangeMembers {
            token: 3,
            changes: vec![MemberChange::Promote(NodeId(2))],
        }),
    ]
}

/// A recording of a node that is told these, and the node.
fn record(inputs: &[Input]) -> (Vec<u8>, u64) {
    let recovered = Recovered::default();
    let (mut recorder, bytes) = Recorder::begin(&config(), &recovered);
    let mut file = bytes.to_vec();
    let mut node = Node::new(config(), recovered);
    let drain = |node: &mut Node, recorder: &mut Recorder| {
        while let Some(effect) = node.poll() {
            recorder.effect(&effect);
        }
    };
    drain(&mut node, &mut recorder);
    for input in inputs {
        file.extend(recorder.input(input));
        node.step(input.clone());
        drain(&mut node, &mut recorder);
        if recorder.state_due() {
            file.extend(recorder.note(&node));
        }
    }
    file.extend(recorder.end(&node));
    (file, node.fingerprint())
}

/// All parts, and whether the file ends behind the last one.
fn parts(file: &[u8]) -> Result<(Vec<Part>, bool), Unreadable> {
    let mut read = |offset: u64, len: usize| {
        let from = (offset as usize).min(file.len());
        let to = (from + len).min(file.len());
        Ok(Bytes::copy_from_slice(&file[from..to]))
    };
    let (mut reading, mut parts) = (Reading::default(), Vec::new());
    while let Some(part) = reading.next(&mut read)? {
        parts.push(part);
    }
    Ok((parts, reading.offset() == file.len() as u64))
}

/// Replays; the state at the end.
fn replay(file: &[u8]) -> Result<u64, String> {
    let (parts, _) = parts(file).map_err(|error| error.to_string())?;
    let mut parts = parts.into_iter();
    let Some(Part::Begin(begin)) = parts.next() else {
        return Err("no beginning".to_owned());
    };
    let mut replay = Replay::begin(*begin);
    for part in parts {
        replay
            .take(part)
            .map_err(|difference| difference.to_string())?;
    }
    Ok(replay.state().node)
}

/// Ticks, and what disturbs nobody.
fn long_life() -> Vec<Input> {
    let quiet = every_input().into_iter().filter(|input| {
        !matches!(
            input,
            Input::Disk(DiskInput::Damaged { .. } | DiskInput::Written { .. })
        )
    });
    let quiet: Vec<Input> = quiet.collect();
    (0..2_500)
        .map(|at| match at % 5 {
            0 => quiet[at / 5 % quiet.len()].clone(),
            1 => Input::Disk(DiskInput::Written { seq: 1 }),
            _ => Input::Tick,
        })
        .collect()
}

#[test]
fn every_input_reads_back() {
    let inputs = every_input();
    let (_, mut file) = Recorder::begin(&config(), &Recovered::default());
    let mut recorder = Recorder::default();
    let frames: Vec<Bytes> = inputs.iter().map(|input| recorder.input(input)).collect();
    file = [file.to_vec(), frames.concat()].concat().into();
    let (parts, whole) = parts(&file).expect("readable");
    assert!(whole);
    let Some(Part::Begin(begin)) = parts.first() else {
        panic!("no beginning");
    };
    assert_eq!(begin.config, config());
    assert_eq!(parts.len(), inputs.len() + 1);
    for (input, part) in inputs.iter().zip(&parts[1..]) {
        let Part::Input(told) = part else {
            panic!("an input, not {part:?}");
        };
        assert_eq!(format!("{:?}", told.input), format!("{input:?}"));
    }
}

#[test]
fn a_replay_comes_to_the_same_state() {
    let (file, state) = record(&long_life());
    assert_eq!(replay(&file), Ok(state));
    let (other, _) = record(&long_life()[..2_000]);
    assert_ne!(replay(&other), Ok(state));
}

#[test]
fn a_replay_says_where_it_parts() {
    let inputs = long_life();
    let (file, _) = record(&inputs);
    let (parts, _) = parts(&file).expect("readable");
    // The same recording, in which one tick is not told.
    let mut parts = parts.into_iter();
    let Some(Part::Begin(begin)) = parts.next() else {
        panic!("no beginning");
    };
    let mut replay = Replay::begin(*begin);
    let mut ticks = 0;
    let differs = parts.find_map(|part| {
        let tick = matches!(&part, Part::Input(told) if matches!(told.input, Input::Tick));
        ticks += u64::from(tick);
        if tick && ticks == 700 {
            return None;
        }
        replay.take(part).err()
    });
    let differs = differs.expect("a tick is missed");
    assert!(
        differs.inputs >= 1_100 && differs.agreed <= 1_166,
        "{differs}"
    );
}

#[test]
fn a_torn_end_is_an_end() {
    let (file, _) = record(&long_life()[..20]);
    let (all, _) = parts(&file).expect("readable");
    let mut seen = 0;
    for len in FILE_HEADER..file.len() {
        let (some, whole) = parts(&file[..len]).expect("an end");
        assert!(some.len() < all.len());
        assert!(some.len() >= seen, "no part is lost");
        // Whether the file ends behind a part or inside of one.
        let (_, before) = parts(&file[..len - 1]).unwrap_or((Vec::new(), false));
        assert!(!(whole && before));
        seen = some.len();
    }
    assert_eq!(seen, all.len() - 1);
}

#[test]
fn a_flipped_byte_is_named_with_its_frame() {
    let (file, _) = record(&long_life()[..20]);
    for at in 0..file.len() {
        let mut bad = file.clone();
        bad[at] ^= 0x10;
        match parts(&bad) {
            Err(Unreadable::Damaged { offset, .. }) => assert!(offset as usize <= at),
            Err(Unreadable::Foreign) => assert!(at < 8),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    assert_eq!(parts(b"").map(|_| ()), Err(Unreadable::Foreign));
    assert_eq!(parts(&[7; 100]).map(|_| ()), Err(Unreadable::Foreign));
}
