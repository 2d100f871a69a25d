//! Our parsers against real binlog files, and against what the servers' own readers list of them
//! (see `corpus/README.md`).
// Tests read files; the machines under test do not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kingbus_core::event::boundary::{Boundary, BoundaryError, Step};
use kingbus_core::event::{
    self, Checksum, FormatDescription, GtidEvent, Header, PayloadCompression, PayloadHeader,
    Rotate, kind,
};
use kingbus_core::gtid::{Gtid, GtidSet};

const MAGIC: &[u8] = b"\xfebin";

/// The MySQL files that are binlogs to their end or to a cut.
const READABLE: [&str; 33] = [
    "mysql-5.6/anonymous.binlog",
    "mysql-5.6/ddl.binlog",
    "mysql-5.6/in-use.binlog",
    "mysql-5.6/no-checksum.binlog",
    "mysql-5.6/rotation/binlog.000001",
    "mysql-5.6/rotation/binlog.000002",
    "mysql-5.6/rotation/binlog.000003",
    "mysql-5.6/rotation/binlog.000004",
    "mysql-5.6/row-minimal-image-with-rows-query.binlog",
    "mysql-5.6/row-types.binlog",
    "mysql-5.6/statement.binlog",
    "mysql-5.6/xa.binlog",
    "mysql-9.7/after-crash.binlog",
    "mysql-9.7/anonymous-and-gtids-mixed.binlog",
    "mysql-9.7/anonymous.binlog",
    "mysql-9.7/atomic-ddl-ctas.binlog",
    "mysql-9.7/cut-in-last-event.binlog",
    "mysql-9.7/ddl.binlog",
    "mysql-9.7/in-use.binlog",
    "mysql-9.7/json-partial.binlog",
    "mysql-9.7/no-checksum.binlog",
    "mysql-9.7/previous-gtids-with-tags.binlog",
    "mysql-9.7/rotation/binlog.000001",
    "mysql-9.7/rotation/binlog.000002",
    "mysql-9.7/rotation/binlog.000003",
    "mysql-9.7/rotation/binlog.000004",
    "mysql-9.7/row-full-metadata.binlog",
    "mysql-9.7/row-minimal-image-with-rows-query.binlog",
    "mysql-9.7/row-types.binlog",
    "mysql-9.7/statement.binlog",
    "mysql-9.7/tagged-gtids.binlog",
    "mysql-9.7/transaction-payload.binlog",
    "mysql-9.7/xa.binlog",
];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

fn read(file: &str) -> Vec<u8> {
    let path = corpus().join(file);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// One event of a file.
struct At<'a> {
    position: u64,
    head: Header,
    event: &'a [u8],
}

/// The whole events of a file, and how many bytes are left behind the last.
fn events(file: &[u8]) -> (Vec<At<'_>>, usize) {
    let mut rest = file.strip_prefix(MAGIC).expect("a binlog");
    let mut events = Vec::new();
    while let Some(head) = Header::parse(rest) {
        let Some((event, behind)) = rest.split_at_checked(head.len as usize) else {
            break;
        };
        let position = (file.len() - rest.len()) as u64;
        let at = At {
            position,
            head,
            event,
        };
        events.push(at);
        rest = behind;
    }
    (events, rest.len())
}

fn checksum_of(events: &[At<'_>]) -> Checksum {
    FormatDescription::parse(events[0].event).unwrap().checksum
}

/// What a reader lists: position, server id, end position, text.
type Listed = (u64, u32, u32, String);

/// By file; without the events inside of payloads, which have no bytes of their own.
fn listed() -> BTreeMap<String, Vec<Listed>> {
    let text = String::from_utf8(read("events.tsv")).unwrap();
    let mut files: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
    let mut in_payload = false;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.splitn(5, '\t').collect();
        let [file, position, server_id, end, text] = fields[..] else {
            panic!("{line}");
        };
        let inside = in_payload;
        in_payload = match text {
            _ if text.starts_with("Transaction_Payload") => true,
            _ if text.starts_with("Xid") => false,
            _ => in_payload,
        };
        if !inside {
            files.entry(file.into()).or_default().push((
                position.parse().unwrap(),
                server_id.parse().unwrap(),
                end.parse().unwrap(),
                text.into(),
            ));
        }
    }
    files
}

fn kinds_named(text: &str) -> &'static [u8] {
    const NAMES: [(&str, &[u8]); 19] = [
        ("Start: binlog v 4", &[kind::FORMAT_DESCRIPTION]),
        ("Previous-GTIDs", &[kind::PREVIOUS_GTIDS]),
        ("GTID", &[kind::GTID, kind::GTID_TAGGED]),
        ("Anonymous_GTID", &[kind::ANONYMOUS_GTID]),
        ("Query", &[kind::QUERY]),
        ("Table_map", &[kind::TABLE_MAP]),
        ("Write_rows", &[kind::WRITE_ROWS]),
        ("Update_rows_partial", &[kind::PARTIAL_UPDATE_ROWS]),
        ("Update_rows", &[kind::UPDATE_ROWS]),
        ("Delete_rows", &[kind::DELETE_ROWS]),
        ("Xid", &[kind::XID]),
        ("Intvar", &[kind::INTVAR]),
        ("Rand", &[kind::RAND]),
        ("User_var", &[kind::USER_VAR]),
        ("Rows_query", &[kind::ROWS_QUERY]),
        ("Rotate to", &[kind::ROTATE]),
        ("Stop", &[kind::STOP]),
        ("XA PREPARE", &[kind::XA_PREPARE]),
        ("Transaction_Payload", &[kind::TRANSACTION_PAYLOAD]),
    ];
    let found = NAMES.iter().find(|(name, _)| text.starts_with(name));
    found.unwrap_or_else(|| panic!("unknown: {text}")).1
}

#[test]
fn every_event_is_where_and_what_the_real_reader_says() {
    let listed = listed();
    let with_events = listed.keys().filter(|file| file.starts_with("mysql"));
    assert!(
        with_events.map(String::as_str).eq(READABLE),
        "a file is left out"
    );
    for file in READABLE {
        let bytes = read(file);
        let (events, behind) = events(&bytes);
        let list = &listed[file];
        assert_eq!(events.len(), list.len(), "{file}");
        let mut listed_before = 0;
        for (at, (position, server_id, end, text)) in events.iter().zip(list) {
            // The reader shows these with the QUERY they are for; and behind a long row image it
            // leaves out the line with the position. Where events end is always right.
            let shown_late = matches!(at.head.kind, kind::INTVAR | kind::RAND | kind::USER_VAR);
            let left_out = *position == listed_before;
            let found = at.position == *position || shown_late || left_out;
            assert!(found, "{file} at {position}");
            listed_before = *position;
            assert_eq!(at.head.server_id, *server_id, "{file} at {position}");
            assert_eq!(at.head.next_position, *end, "{file} at {position}");
            assert_eq!(
                at.position + at.event.len() as u64,
                u64::from(*end),
                "{file}"
            );
            let kinds = kinds_named(text);
            assert!(
                kinds.contains(&at.head.kind),
                "{file} at {position}: {text}"
            );
            assert_eq!(at.head.encode(), at.event[..event::HEADER_LEN]);
        }
        assert_eq!(behind != 0, file.contains("cut-in"), "{file}");
    }
}

#[test]
fn every_checksum_is_right_and_no_flipped_bit_goes_unseen() {
    for file in READABLE {
        let bytes = read(file);
        let (events, _) = events(&bytes);
        let checksum = checksum_of(&events);
        assert_eq!(checksum == Checksum::None, file.contains("no-checksum"));
        for at in &events {
            // The format description has its checksum always.
            let has = checksum == Checksum::Crc32 || at.head.kind == kind::FORMAT_DESCRIPTION;
            assert_eq!(
                event::checksum_ok(at.event),
                has,
                "{file} at {}",
                at.position
            );
            let mut flipped = at.event.to_vec();
            let middle = flipped.len() / 2;
            flipped[middle] ^= 4;
            assert!(!event::checksum_ok(&flipped));
        }
    }
}

/// Transactions of a file as [`Boundary`] sees them.
#[derive(Default)]
struct Seen {
    executed: GtidSet,
    transactions: usize,
    open: Option<Gtid>,
}

fn walk(events: &[At<'_>], checksum: Checksum) -> Result<Seen, BoundaryError> {
    let mut boundary = Boundary::new();
    let mut seen = Seen::default();
    let mut begun = None;
    for at in events {
        match boundary.event(&at.head, at.event, checksum)? {
            Step::Control => assert!(begun.is_none()),
            Step::Begin { gtid, .. } => {
                let said = GtidEvent::parse(at.event, checksum).unwrap();
                begun = Some((gtid, at.position, said.transaction_length));
            }
            Step::Inside => assert!(begun.is_some()),
            Step::End => {
                let (gtid, from, said_len) = begun.take().unwrap();
                assert!(seen.executed.add(gtid), "{gtid} twice");
                seen.transactions += 1;
                let len = at.position + at.event.len() as u64 - from;
                assert!(said_len == 0 || said_len == len, "{gtid} ends elsewhere");
            }
        }
    }
    seen.open = begun.map(|(gtid, ..)| gtid);
    assert_eq!(boundary.open(), seen.open);
    Ok(seen)
}

#[test]
fn boundaries_give_the_transactions_of_each_file() {
    let listed = listed();
    for file in READABLE.iter().filter(|file| !file.contains("anonymous")) {
        let bytes = read(file);
        let (events, _) = events(&bytes);
        let seen = walk(&events, checksum_of(&events)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let begun = listed[*file]
            .iter()
            .filter(|(.., text)| text.starts_with("GTID"));
        let cut = file.contains("cut-in");
        assert_eq!(
            seen.transactions + usize::from(cut),
            begun.count(),
            "{file}"
        );
        assert_eq!(seen.open.is_some(), cut, "{file}");
        assert_eq!(seen.executed.count(), seen.transactions as u64);
    }
}

#[test]
fn the_gtids_of_a_file_are_known_by_name() {
    let own = "dec9ae63-e513-11f1-a673-02fc00000001";
    let own_5_6 = "fceff2cd-e513-11f1-a34d-02fc00000001";
    let foreign = "00000000-1111-2222-3333-444444444444";
    for (file, expected) in [
        (
            "mysql-9.7/tagged-gtids.binlog",
            format!(
                "{foreign}:5:1000000000000:green:7,\
                 {own}:81-83:a_long_tag_of_thirty_two_chars_x:1:blue:1-2"
            ),
        ),
        (
            "mysql-9.7/transaction-payload.binlog",
            format!("{own}:85-92:zst:1"),
        ),
        ("mysql-9.7/xa.binlog", format!("{own}:74-80")),
        ("mysql-9.7/atomic-ddl-ctas.binlog", format!("{own}:68-73")),
        ("mysql-9.7/statement.binlog", format!("{own}:31-46")),
        ("mysql-5.6/statement.binlog", format!("{own_5_6}:21-32")),
        ("mysql-5.6/xa.binlog", format!("{own_5_6}:54-57")),
    ] {
        let bytes = read(file);
        let (events, _) = events(&bytes);
        let seen = walk(&events, checksum_of(&events)).unwrap();
        assert_eq!(seen.executed.to_string(), expected, "{file}");
    }
}

#[test]
fn transactions_without_a_gtid_are_named_as_such() {
    let outcome = |file: &str| {
        let bytes = read(file);
        let (events, _) = events(&bytes);
        walk(&events, checksum_of(&events)).err()
    };
    let anonymous = Some(BoundaryError::Anonymous);
    assert_eq!(outcome("mysql-9.7/anonymous.binlog"), anonymous);
    assert_eq!(
        outcome("mysql-9.7/anonymous-and-gtids-mixed.binlog"),
        anonymous
    );
    // 5.6 has no event for it.
    let outside = Some(BoundaryError::Outside(kind::QUERY));
    assert_eq!(outcome("mysql-5.6/anonymous.binlog"), outside);
}

fn previous_gtids(events: &[At<'_>]) -> GtidSet {
    assert_eq!(events[1].head.kind, kind::PREVIOUS_GTIDS);
    event::parse_previous_gtids(events[1].event, checksum_of(events)).unwrap()
}

#[test]
fn previous_gtids_are_decoded_and_encoded_alike() {
    let mut tagged = 0;
    // 5.6 without GTIDs does not write the event.
    for file in READABLE
        .iter()
        .filter(|f| **f != "mysql-5.6/anonymous.binlog")
    {
        let bytes = read(file);
        let (events, _) = events(&bytes);
        let set = previous_gtids(&events);
        let event = events[1].event;
        let body = &event[event::HEADER_LEN..event.len() - checksum_of(&events).trailer_len()];
        let has_tags = set.tsids().any(|tsid| !tsid.tag.is_none());
        // 9.7 writes some sets without tags in the tagged form too.
        if has_tags || body[7] == 0 {
            assert_eq!(set.encode(), body, "{file}");
        }
        assert_eq!(set.to_string().parse::<GtidSet>().unwrap(), set, "{file}");
        tagged += usize::from(has_tags);
    }
    assert!(tagged >= 2);
}

#[test]
fn files_in_a_row_add_up() {
    for flavor in ["mysql-5.6", "mysql-9.7"] {
        let mut executed = None;
        for n in 1..=4 {
            let bytes = read(&format!("{flavor}/rotation/binlog.00000{n}"));
            let (events, _) = events(&bytes);
            let checksum = checksum_of(&events);
            let previous = previous_gtids(&events);
            assert_eq!(executed.get_or_insert(previous.clone()), &previous);
            let seen = walk(&events, checksum).unwrap();
            executed.as_mut().unwrap().union(&seen.executed);
            let last = events.last().unwrap();
            if n == 4 {
                assert_eq!(last.head.kind, kind::STOP);
            } else {
                let rotate = Rotate::parse(last.event, checksum).unwrap();
                assert_eq!(rotate.file, format!("binlog.00000{}", n + 1));
                assert_eq!(rotate.position, 4);
            }
        }
    }
}

#[test]
fn payload_headers_say_what_the_real_reader_says() {
    let file = "mysql-9.7/transaction-payload.binlog";
    let bytes = read(file);
    let (events, _) = events(&bytes);
    let payloads = events
        .iter()
        .filter(|at| at.head.kind == kind::TRANSACTION_PAYLOAD);
    let found: Vec<_> = payloads
        .map(|at| {
            let payload = PayloadHeader::parse(at.event, checksum_of(&events)).unwrap();
            assert_eq!(payload.compression, PayloadCompression::Zstd);
            (payload.payload_size, payload.uncompressed_size)
        })
        .collect();
    assert_eq!(found, [(137, 186), (264, 96568), (143, 4682), (145, 202)]);
}

#[test]
fn statements_and_their_errors_are_read() {
    let bytes = read("mysql-9.7/statement.binlog");
    let (events, _) = events(&bytes);
    let checksum = checksum_of(&events);
    let queries: Vec<_> = events
        .iter()
        .filter(|at| at.head.kind == kind::QUERY)
        .map(|at| event::Query::parse(at.event, checksum).unwrap())
        .collect();
    assert_eq!(queries[0].statement, b"CREATE DATABASE IF NOT EXISTS c");
    assert!(queries.iter().all(|q| q.schema == b"c"));
    let failed: Vec<_> = queries.iter().filter(|q| q.error_code != 0).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].error_code, 1062);
    assert!(failed[0].statement.starts_with(b"INSERT INTO my"));
}

#[test]
fn files_of_others_and_cut_files_do_no_harm() {
    for file in [
        "mariadb-10.11/after-domains.binlog",
        "mariadb-10.11/compressed-events.binlog",
        "mariadb-10.11/ddl.binlog",
        "mariadb-10.11/gtid-domains.binlog",
        "mariadb-10.11/in-use.binlog",
        "mariadb-10.11/no-checksum.binlog",
        "mariadb-10.11/row-types.binlog",
        "mariadb-10.11/statement.binlog",
        "mariadb-10.11/xa.binlog",
    ] {
        let bytes = read(file);
        let (events, behind) = events(&bytes);
        assert_eq!(behind, 0);
        let checksum = checksum_of(&events);
        assert!(
            events
                .iter()
                .all(|at| checksum == Checksum::None || event::checksum_ok(at.event))
        );
        // No MySQL GTIDs in them: refused at the first transaction, if there is one.
        let has_transactions = !file.contains("in-use");
        assert_eq!(walk(&events, checksum).is_err(), has_transactions, "{file}");
    }
    let cut = read("mysql-9.7/cut-in-format-description.binlog");
    assert_eq!(events(&cut).0.len(), 0);
    assert_eq!(events(&read("mysql-9.7/magic-only.binlog")).0.len(), 0);
    assert!(read("mysql-9.7/encrypted.binlog").starts_with(b"\xfdbin"));
}
