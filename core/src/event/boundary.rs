//! Where transactions begin and end in a stream of events.
//!
//! A transaction begins with its GTID event. What it ends with depends on what comes next, as in
//! MySQL's own `Transaction_boundary_parser`:
//!
//! ```text
//! GTID  BEGIN     ...  XID | COMMIT | ROLLBACK           transactions, non-transactional tables
//! GTID  XA START  ...  XA END  XA_PREPARE | XA ROLLBACK  XA, in one phase or prepared
//! GTID  [INTVAR | RAND | USER_VAR]...  any other QUERY   DDL, XA COMMIT and XA ROLLBACK
//! GTID  TRANSACTION_PAYLOAD                              all of it in one event
//! GTID  INCIDENT                                         something is missing at the source
//! ```

use std::fmt;

use super::{Checksum, EventError, GtidEvent, Header, Query, kind};
use crate::gtid::Gtid;

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Belongs to no transaction.
    Control,
    /// The GTID event that begins a transaction.
    Begin {
        /// The transaction.
        gtid: Gtid,
        /// When the source committed it, in microseconds since 1970; 0: not said.
        commit_timestamp: u64,
    },
    /// Belongs to the open transaction, which goes on.
    Inside,
    /// Belongs to the open transaction, and ends it.
    End,
}

/// An event that cannot be where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BoundaryError {
    /// A transaction without a GTID: ANONYMOUS_GTID.
    Anonymous,
    /// An event of this kind outside a transaction: the source writes no GTID events.
    Outside(u8),
    /// An event of this kind where the open transaction should go on.
    Open(Gtid, u8),
    /// An event that cannot be read.
    Malformed(u8, EventError),
}

impl fmt::Display for BoundaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundaryError::Anonymous => {
                f.write_str("the source sent a transaction without a GTID; set gtid_mode=ON there")
            }
            BoundaryError::Outside(kind) => write!(
                f,
                "the source sent an event of kind {kind} outside of a transaction with a GTID; \
                 set gtid_mode=ON there"
            ),
            BoundaryError::Open(gtid, kind) => write!(
                f,
                "the source sent an event of kind {kind} before the end of transaction {gtid}"
            ),
            BoundaryError::Malformed(kind, e) => {
                write!(f, "malformed event of kind {kind}: {e}")
            }
        }
    }
}

impl std::error::Error for BoundaryError {}

/// The state between two events of a stream. After an error it is as before the event.
#[derive(Clone, Debug, Default)]
pub struct Boundary {
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    gtid: Gtid,
    /// Whether BEGIN or XA START was seen (or rows, which cannot end it either).
    begun: bool,
}

impl Boundary {
    /// Before the first event of a stream: no transaction is open.
    pub fn new() -> Self {
        Self::default()
    }

    /// The open transaction.
    pub fn open(&self) -> Option<Gtid> {
        self.open.map(|open| open.gtid)
    }

    /// Takes the next event: its header, and the whole event from its header on, or as much as
    /// there is of a long one (64 KiB and 1 KiB more are always enough).
    pub fn event(
        &mut self,
        head: &Header,
        event: &[u8],
        checksum: Checksum,
    ) -> Result<Step, BoundaryError> {
        let step = match self.open {
            None => between(head, event, checksum),
            Some(open) => within(open, head, event, checksum),
        }?;
        match step {
            Step::Control => {}
            Step::Begin { gtid, .. } => self.open = Some(Open { gtid, begun: false }),
            Step::Inside => {
                let open = self.open.as_mut().expect("only within a transaction");
                open.begun |= begins(head.kind);
            }
            Step::End => self.open = None,
        }
        Ok(step)
    }
}

/// Whether an event that does not end the transaction shows that a QUERY will not do so just by not
/// being BEGIN: BEGIN or XA START itself, or rows. INTVAR, RAND, USER_VAR may stand before DDL.
fn begins(kind: u8) -> bool {
    matches!(
        kind,
        kind::QUERY
            | kind::BEGIN_LOAD_QUERY..=kind::DELETE_ROWS_V1
            | kind::ROWS_QUERY..=kind::DELETE_ROWS
            | kind::PARTIAL_UPDATE_ROWS
    )
}

fn between(head: &Header, event: &[u8], checksum: Checksum) -> Result<Step, BoundaryError> {
    match head.kind {
        kind::GTID | kind::GTID_TAGGED => {
            let malformed = |e| BoundaryError::Malformed(head.kind, e);
            let begun = GtidEvent::parse(event, checksum).map_err(malformed)?;
            Ok(Step::Begin {
                gtid: begun.gtid.ok_or(BoundaryError::Anonymous)?,
                commit_timestamp: begun.commit_timestamp,
            })
        }
        kind::ANONYMOUS_GTID => Err(BoundaryError::Anonymous),
        kind::QUERY
        | kind::INTVAR
        | kind::APPEND_BLOCK
        | kind::DELETE_FILE
        | kind::RAND
        | kind::USER_VAR
        | kind::XID
        | kind::BEGIN_LOAD_QUERY
        | kind::EXECUTE_LOAD_QUERY
        | kind::TABLE_MAP
        | kind::WRITE_ROWS_V1..=kind::DELETE_ROWS_V1
        | kind::ROWS_QUERY..=kind::DELETE_ROWS
        | kind::VIEW_CHANGE
        | kind::XA_PREPARE..=kind::TRANSACTION_PAYLOAD => Err(BoundaryError::Outside(head.kind)),
        _ => Ok(Step::Control),
    }
}

fn within(
    open: Open,
    head: &Header,
    event: &[u8],
    checksum: Checksum,
) -> Result<Step, BoundaryError> {
    match head.kind {
        kind::XID | kind::XA_PREPARE | kind::TRANSACTION_PAYLOAD => Ok(Step::End),
        kind::QUERY => {
            let malformed = |e| BoundaryError::Malformed(head.kind, e);
            let query = Query::parse(event, checksum).map_err(malformed)?;
            Ok(statement(open.begun, query.statement))
        }
        kind::INCIDENT if !open.begun => Ok(Step::End),
        kind::HEARTBEAT | kind::HEARTBEAT_V2 => Ok(Step::Control),
        kind::GTID
        | kind::ANONYMOUS_GTID
        | kind::GTID_TAGGED
        | kind::INCIDENT
        | kind::PREVIOUS_GTIDS
        | kind::FORMAT_DESCRIPTION
        | kind::START_V3
        | kind::ROTATE
        | kind::STOP => Err(BoundaryError::Open(open.gtid, head.kind)),
        _ => Ok(Step::Inside),
    }
}

fn statement(begun: bool, text: &[u8]) -> Step {
    let is = |what: &str| text.trim_ascii().eq_ignore_ascii_case(what.as_bytes());
    let starts = |what: &str| {
        let start = text.trim_ascii_start().get(..what.len());
        start.is_some_and(|s| s.eq_ignore_ascii_case(what.as_bytes()))
    };
    if !begun {
        return if is("BEGIN") || starts("XA START") {
            Step::Inside
        } else {
            Step::End
        };
    }
    let rolls_back = starts("ROLLBACK") && !starts("ROLLBACK TO");
    if is("COMMIT") || rolls_back || starts("XA ROLLBACK") || starts("XA COMMIT") {
        Step::End
    } else {
        Step::Inside
    }
}

#[cfg(test)]
mod tests {
    use super::super::make;
    use super::*;

    fn event(kind: u8, body: &[u8]) -> Vec<u8> {
        let head = Header {
            kind,
            ..Header::default()
        };
        make(head, body, true)
    }

    fn gtid(n: u8) -> Vec<u8> {
        let mut body = vec![0; 17];
        body.extend_from_slice(&u64::from(n).to_le_bytes());
        event(kind::GTID, &body)
    }

    fn query(text: &str) -> Vec<u8> {
        let mut body = vec![0; 13];
        body[8] = 1;
        body[11] = 3;
        body.extend_from_slice(b"\x01\x02\x03d\0");
        body.extend_from_slice(text.as_bytes());
        event(kind::QUERY, &body)
    }

    fn of(kind: u8) -> Vec<u8> {
        event(kind, b"some body")
    }

    /// The steps as letters: c, b, i, e.
    fn steps(events: &[Vec<u8>]) -> Result<String, BoundaryError> {
        let mut boundary = Boundary::new();
        let take = |event: &Vec<u8>| {
            let head = Header::parse(event).unwrap();
            Ok(match boundary.event(&head, event, Checksum::Crc32)? {
                Step::Control => 'c',
                Step::Begin { .. } => 'b',
                Step::Inside => 'i',
                Step::End => 'e',
            })
        };
        events.iter().map(take).collect()
    }

    #[test]
    fn a_transaction_ends_with_xid_commit_or_rollback_but_not_at_a_savepoint() {
        for end in [
            of(kind::XID),
            query("COMMIT"),
            query("ROLLBACK"),
            query("rollback "),
        ] {
            let events = [
                gtid(1),
                query("BEGIN"),
                of(kind::ROWS_QUERY),
                of(kind::TABLE_MAP),
                of(kind::WRITE_ROWS),
                query("SAVEPOINT `a`"),
                query("ROLLBACK TO `a`"),
                query("ROLLBACK TO SAVEPOINT a"),
                query("CREATE TEMPORARY TABLE t (a INT)"),
                end,
                gtid(2),
            ];
            assert_eq!(steps(&events).unwrap(), "biiiiiiiieb");
        }
    }

    #[test]
    fn a_statement_without_begin_is_a_transaction() {
        for text in [
            "CREATE TABLE t (a INT)",
            "begin_t",
            "XA COMMIT X'61',X'',1",
            "COMMIT",
            "",
        ] {
            assert_eq!(steps(&[gtid(1), query(text)]).unwrap(), "be", "{text}");
        }
        let preset = [
            gtid(1),
            of(kind::INTVAR),
            of(kind::RAND),
            of(kind::USER_VAR),
            query("CREATE FUNCTION f() RETURNS INT RETURN 1"),
        ];
        assert_eq!(steps(&preset).unwrap(), "biiie");
    }

    #[test]
    fn create_table_select_goes_on_to_its_xid() {
        let events = [
            gtid(1),
            query("BEGIN"),
            query("CREATE TABLE `t` (\n  `a` int\n) START TRANSACTION"),
            of(kind::TABLE_MAP),
            of(kind::WRITE_ROWS),
            of(kind::XID),
        ];
        assert_eq!(steps(&events).unwrap(), "biiiie");
    }

    #[test]
    fn xa_ends_when_prepared_and_its_outcome_is_a_transaction() {
        let events = [
            gtid(1),
            query("XA START X'61',X'',1"),
            of(kind::TABLE_MAP),
            of(kind::WRITE_ROWS),
            query("XA END X'61',X'',1"),
            of(kind::XA_PREPARE),
            gtid(2),
            query("XA ROLLBACK X'61',X'',1"),
            gtid(3),
            query("XA START X'62',X'',1"),
            query("INSERT INTO myisam VALUES (1)"),
            query("XA END X'62',X'',1"),
            query("XA ROLLBACK X'62',X'',1"),
        ];
        assert_eq!(steps(&events).unwrap(), "biiiiebebiiie");
    }

    #[test]
    fn payloads_and_incidents_end_at_once() {
        let events = [
            gtid(1),
            of(kind::TRANSACTION_PAYLOAD),
            gtid(2),
            of(kind::INCIDENT),
            of(kind::INCIDENT),
        ];
        assert_eq!(steps(&events).unwrap(), "bebec");
    }

    #[test]
    fn control_events_stand_between_transactions_and_heartbeats_anywhere() {
        let events = [
            of(kind::ROTATE),
            of(kind::FORMAT_DESCRIPTION),
            of(kind::PREVIOUS_GTIDS),
            of(kind::HEARTBEAT),
            of(200),
            gtid(1),
            of(kind::HEARTBEAT_V2),
            of(200),
            query("BEGIN"),
            of(200),
            query("COMMIT"),
            of(kind::STOP),
        ];
        assert_eq!(steps(&events).unwrap(), "cccccbciiiec");
    }

    #[test]
    fn an_event_in_the_wrong_place_is_an_error_and_changes_nothing() {
        let one = "00000000-0000-0000-0000-000000000000:1".parse().unwrap();
        for kind in [
            kind::GTID,
            kind::ROTATE,
            kind::STOP,
            kind::FORMAT_DESCRIPTION,
        ] {
            let open = [gtid(1), query("BEGIN"), of(kind)];
            assert_eq!(steps(&open), Err(BoundaryError::Open(one, kind)));
            let empty = [gtid(1), of(kind)];
            assert_eq!(steps(&empty), Err(BoundaryError::Open(one, kind)));
        }
        for kind in [
            kind::XID,
            kind::WRITE_ROWS,
            kind::TRANSACTION_PAYLOAD,
            kind::XA_PREPARE,
        ] {
            assert_eq!(steps(&[of(kind)]), Err(BoundaryError::Outside(kind)));
        }
        assert_eq!(
            steps(&[query("BEGIN")]),
            Err(BoundaryError::Outside(kind::QUERY))
        );
        assert_eq!(
            steps(&[of(kind::ANONYMOUS_GTID)]),
            Err(BoundaryError::Anonymous)
        );
        assert!(matches!(
            steps(&[of(kind::GTID)]),
            Err(BoundaryError::Malformed(..))
        ));
        let mut boundary = Boundary::new();
        let first = gtid(1);
        let head = Header::parse(&first).unwrap();
        boundary.event(&head, &first, Checksum::Crc32).unwrap();
        assert!(boundary.event(&head, &first, Checksum::Crc32).is_err());
        assert_eq!(boundary.open(), Some(one));
    }

    #[test]
    fn the_first_bytes_of_a_long_event_are_enough() {
        let mut boundary = Boundary::new();
        let begin = gtid(1);
        let head = Header::parse(&begin).unwrap();
        boundary.event(&head, &begin, Checksum::Crc32).unwrap();
        let long = query(&format!(
            "CREATE TABLE t (a INT) COMMENT '{}'",
            "x".repeat(5000)
        ));
        let head = Header::parse(&long).unwrap();
        let step = boundary.event(&head, &long[..100], Checksum::Crc32);
        assert_eq!(step, Ok(Step::End));
    }
}
