//! One client connection: greeting, login, commands, dump.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::answer::{Answer, Conversation};
use super::command::{self, BadCommand, Command, Dump};
use super::frame::{Framed, Framer};
use super::handshake::{self, Greeting, capability};
use super::login::{Account, Login, ServerKey, Step};
use super::parser;
use super::refusal;
use super::request::{DumpRequest, Registration};
use super::result::{STATUS_AUTOCOMMIT, SqlError, Writer};
use crate::auth;
use crate::gtid::Uuid;
use crate::packet::{self, Inbound, PacketError};

/// Number of the error in place of the greeting: `ER_SERVER_OFFLINE_MODE`, for which a replica tries
/// the next of its sources.
const NOT_SERVING: u16 = 3032;
/// Shortest pause between heartbeats.
const HEARTBEAT_MS_MIN: u64 = 1;
const NS_PER_MS: u64 = 1_000_000;
/// Longest name of a user in MySQL.
const USER_CHARACTERS_MAX: usize = 32;

/// Who kingbus is to its replicas, the same on all nodes of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `@@server_id`.
    pub server_id: u32,
    /// `@@server_uuid`.
    pub server_uuid: Uuid,
}

/// What comes in.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Bytes from the client.
    Received {
        /// The bytes, cut anywhere.
        bytes: &'a [u8],
        /// Seconds since 1970, for `UNIX_TIMESTAMP()`.
        unix_time: u64,
    },
    /// The node refuses or ends the dump: send this error, then close.
    Refuse {
        /// MySQL's error number.
        code: u16,
        /// MySQL's SQL state, five characters.
        state: &'static str,
        /// The text; what is over 511 bytes is cut off.
        text: String,
    },
    /// The dump is at its end: send EOF, then close.
    Eof,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send to the client.
    Send(Bytes),
    /// Ask the node for a dump; its events go through [`Session::frame`].
    Dump(DumpRequest),
    /// Close the connection once everything is sent. The text says why, for the log.
    Close(String),
}

/// One client connection. [`Session::poll`] has something new after [`Session::new`] and after
/// [`Session::step`].
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    account: Arc<Account>,
    key: Option<Arc<ServerKey>>,
    greeting: Option<Greeting>,
    /// The client's address, with its port.
    peer: String,
    /// Who has logged in.
    user: String,
    registration: Option<Registration>,
    conversation: Conversation,
    /// Capabilities that both sides have.
    agreed: u32,
    /// Number of the next packet in either direction, until the login is over.
    seq: u8,
    framer: Framer,
    input: BytesMut,
    /// Bound and state of the payload that is coming in.
    inbound: Option<Inbound>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// The greeting is sent.
    Greeted,
    /// The login takes more than one packet.
    Login(Login),
    /// Answers commands.
    Commands,
    /// Events go out.
    Dumping,
    /// `Output::Close` was given.
    Closed,
}

impl Session {
    /// A new connection from `peer` (address and port). It is greeted, or refused with the text.
    /// Without `key` a wrong answer to the challenge is final, which is no loss.
    pub fn new(
        identity: Identity,
        account: Arc<Account>,
        key: Option<Arc<ServerKey>>,
        peer: impl Into<String>,
        greeting: Result<Greeting, String>,
    ) -> Session {
        let (greeting, refusal) = match greeting {
            Ok(greeting) => (Some(greeting), None),
            Err(text) => (None, Some(text)),
        };
        let mut session = Session {
            phase: Phase::Greeted,
            account,
            key,
            conversation: Conversation::new(identity, greeting.as_ref()),
            greeting,
            peer: peer.into(),
            user: String::new(),
            registration: None,
            agreed: 0,
            seq: 0,
            framer: Framer::default(),
            input: BytesMut::new(),
            inbound: None,
            outputs: VecDeque::new(),
        };
        match (&session.greeting, refusal) {
            (Some(greeting), _) => {
                let payload = handshake::greeting(greeting);
                session.write(|writer| writer.payload(&payload));
            }
            (None, refusal) => {
                let text = refusal.unwrap_or_default();
                session.write(|writer| writer.error_before_greeting(NOT_SERVING, &text));
                session.close(format!("not serving: {text}"));
            }
        }
        session
    }

    /// What the replica told of itself with COM_REGISTER_SLAVE.
    pub fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    /// Takes an input. While a dump runs, what the client sends is ignored, but for COM_QUIT.
    pub fn step(&mut self, input: Input<'_>) {
        match input {
            Input::Received { bytes, unix_time } => {
                if !matches!(self.phase, Phase::Closed) {
                    self.input.extend_from_slice(bytes);
                    self.read(unix_time);
                }
            }
            Input::Refuse { code, state, text } => {
                let error = SqlError::new(code, state, text);
                self.end_dump(
                    |writer| writer.error(&error),
                    format!("refused: {}", error.text),
                );
            }
            Input::Eof => {
                self.end_dump(
                    |writer| writer.eof(STATUS_AUTOCOMMIT),
                    "end of the dump".to_owned(),
                );
            }
        }
    }

    /// Whether the client has shown that it may be here.
    pub fn is_logged_in(&self) -> bool {
        matches!(self.phase, Phase::Commands | Phase::Dumping)
    }

    /// What is to be done next; None when there is nothing until the next input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Puts `events` into packets in `room`, which has at least
    /// [`PACKETS_ROOM_MIN`](super::PACKETS_ROOM_MIN) bytes: 4 bytes of header, status byte 0, the event;
    /// split after 16 MiB - 1. Stops when there is no more room, and before a long piece of an event, which
    /// is not copied. To be called with what is left until it is done. The stream of events may be cut
    /// anywhere but inside the 19-byte header of one. When no dump runs (any more), nothing is filled, and
    /// nothing left.
    pub fn frame<'a>(&mut self, events: &'a [u8], room: &mut [u8]) -> Framed<'a> {
        // The client may have quit while these were on their way.
        match self.phase {
            Phase::Dumping => self.framer.frame(events, room),
            Phase::Greeted | Phase::Login(_) | Phase::Commands | Phase::Closed => Framed {
                filled: 0,
                direct: &[],
                rest: &[],
            },
        }
    }

    /// Takes whole payloads off the input.
    fn read(&mut self, unix_time: u64) {
        while !matches!(self.phase, Phase::Closed) {
            if self.inbound.is_none() {
                let Some(limit) = self.payload_bytes_max() else {
                    return;
                };
                self.inbound = Some(Inbound::new(limit));
            }
            let inbound = self.inbound.as_mut().expect("made above");
            match inbound.feed(&mut self.input) {
                None => return,
                Some(Ok(payload)) => {
                    self.inbound = None;
                    self.payload(payload.seq, &payload.bytes, unix_time);
                }
                Some(Err(error)) => self.bad_packet(error),
            }
        }
    }

    /// Bound for the payload that begins here; None while too little of it is there to tell.
    fn payload_bytes_max(&self) -> Option<usize> {
        match self.phase {
            Phase::Greeted | Phase::Login(_) => Some(command::LOGIN_BYTES_MAX),
            Phase::Commands | Phase::Dumping | Phase::Closed => {
                let (len, _) = packet::parse_header(&self.input)?;
                if len == 0 {
                    return Some(0);
                }
                self.input
                    .get(packet::HEADER_LEN)
                    .map(|first| command::bytes_max(*first))
            }
        }
    }

    fn bad_packet(&mut self, error: PacketError) {
        let sql_error = match error {
            PacketError::TooLong { .. } => refusal::packet_too_long(),
            PacketError::Sequence => refusal::out_of_order(),
        };
        if !matches!(self.phase, Phase::Dumping) {
            // The answer's number follows that of the packet whose header was read last.
            let seq = packet::parse_header(&self.input).map_or(self.seq, |(_, seq)| seq);
            self.seq = seq.wrapping_add(1);
            self.write(|writer| writer.error(&sql_error));
        }
        self.close(error.to_string());
    }

    /// A whole payload has come.
    fn payload(&mut self, seq: u8, payload: &[u8], unix_time: u64) {
        match self.phase {
            Phase::Greeted | Phase::Login(_) => {
                if seq != self.seq {
                    self.seq = seq.wrapping_add(1);
                    return self.fail(refusal::out_of_order());
                }
                self.seq = seq.wrapping_add(1);
                self.login(payload);
            }
            Phase::Commands => {
                self.seq = seq.wrapping_add(1);
                self.command(payload, unix_time);
            }
            Phase::Dumping if command::is_quit(payload) => self.close("client quit".to_owned()),
            Phase::Dumping | Phase::Closed => {}
        }
    }

    fn login(&mut self, payload: &[u8]) {
        let step = if let Phase::Login(login) = &mut self.phase {
            login.receive(payload)
        } else {
            let greeting = self.greeting.as_ref().expect("a greeted client");
            let Some(response) = handshake::parse_response(payload) else {
                return self.fail(refusal::bad_handshake());
            };
            self.agreed = response.agreed;
            self.user = printable(response.user);
            self.conversation.logged_in(
                format!("{}@{}", self.user, host(&self.peer)),
                response.collation,
            );
            let (account, key) = (self.account.clone(), self.key.clone());
            let (login, step) = Login::begin(account, key, greeting, &response);
            self.phase = Phase::Login(login);
            step
        };
        match step {
            Step::Ask(payload) => self.write(|writer| writer.payload(&payload)),
            Step::Accepted { fast } => {
                self.write(|writer| {
                    if fast {
                        writer.payload(auth::FAST_AUTH_OK);
                    }
                    writer.ok();
                });
                self.phase = Phase::Commands;
            }
            Step::Denied { with_password } => {
                let text = format!(
                    "Access denied for user '{}'@'{}' (using password: {})",
                    self.user,
                    host(&self.peer),
                    if with_password { "YES" } else { "NO" }
                );
                self.write(|writer| writer.error(&SqlError::new(1045, "28000", text.as_str())));
                self.close(text);
            }
        }
    }

    fn command(&mut self, payload: &[u8], unix_time: u64) {
        let query_attributes = self.agreed & capability::QUERY_ATTRIBUTES != 0;
        match command::parse(payload, query_attributes) {
            Ok(Command::Quit) => self.close("client quit".to_owned()),
            Ok(Command::Nothing) => self.write(|writer| writer.ok()),
            Ok(Command::Reset) => {
                self.conversation.reset();
                self.write(|writer| writer.ok());
            }
            Ok(Command::Query(sql)) => self.query(&String::from_utf8_lossy(sql), unix_time),
            Ok(Command::Register(registration)) => {
                self.registration = Some(registration);
                self.write(|writer| writer.ok());
            }
            Ok(Command::DumpFile) => self.fail(refusal::file_dump_refused()),
            Ok(Command::DumpGtid(dump)) => self.dump(dump),
            Err(BadCommand { error, fatal: true }) => self.fail(error),
            Err(BadCommand {
                error,
                fatal: false,
            }) => self.write(|writer| writer.error(&error)),
        }
    }

    fn query(&mut self, sql: &str, unix_time: u64) {
        let answer =
            parser::parse(sql).and_then(|statement| self.conversation.answer(statement, unix_time));
        self.write(|writer| match &answer {
            Ok(Answer::Ok) => writer.ok(),
            Ok(Answer::Rows(set)) => writer.result_set(set),
            Err(error) => writer.error(error),
        });
    }

    fn dump(&mut self, dump: Dump) {
        let variables = &self.conversation.user_variables;
        let checksum = variables.text(["source_binlog_checksum", "master_binlog_checksum"]);
        if checksum.is_none() && self.conversation.has_checksums() {
            return self.fail(refusal::checksums_not_understood());
        }
        let period_ns = variables.number(["source_heartbeat_period", "master_heartbeat_period"]);
        let heartbeat_ms = match period_ns {
            0 => 0,
            ns => (ns / NS_PER_MS).max(HEARTBEAT_MS_MIN),
        };
        let request = DumpRequest {
            executed: dump.executed,
            uuid: variables
                .text(["replica_uuid", "slave_uuid"])
                .and_then(|text| text.parse().ok()),
            server_id: dump.server_id,
            client: format!("{}@{}", self.user, self.peer),
            non_block: dump.non_block,
            heartbeat_ms,
            heartbeat_v2: dump.heartbeat_v2,
            checksum: checksum.is_some_and(|name| name.eq_ignore_ascii_case("CRC32")),
        };
        self.framer = Framer::new(self.seq);
        self.phase = Phase::Dumping;
        self.outputs.push_back(Output::Dump(request));
    }

    /// Ends the dump with a last packet, if one can be sent: not in the middle of an event.
    fn end_dump(&mut self, last: impl FnOnce(&mut Writer<'_>), reason: String) {
        if !matches!(self.phase, Phase::Dumping) {
            return;
        }
        if self.framer.between_events() {
            self.seq = self.framer.seq();
            self.write(last);
        }
        self.close(reason);
    }

    /// Sends an error that ends the connection.
    fn fail(&mut self, error: SqlError) {
        self.write(|writer| writer.error(&error));
        self.close(error.text);
    }

    /// Writes packets, after those that are waiting to be polled.
    fn write(&mut self, packets: impl FnOnce(&mut Writer<'_>)) {
        let mut out = Vec::new();
        let mut writer = Writer {
            out: &mut out,
            seq: self.seq,
            status: self.conversation.status(),
            deprecate_eof: self.agreed & capability::DEPRECATE_EOF != 0,
        };
        packets(&mut writer);
        self.seq = writer.seq;
        self.outputs.push_back(Output::Send(out.into()));
    }

    fn close(&mut self, reason: String) {
        self.phase = Phase::Closed;
        self.input = BytesMut::new();
        self.outputs.push_back(Output::Close(reason));
    }
}

/// A foreign name for texts and logs: at most as long as MySQL's user names.
fn printable(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.chars()
        .take(USER_CHARACTERS_MAX)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// The address without its port.
fn host(peer: &str) -> &str {
    let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}
