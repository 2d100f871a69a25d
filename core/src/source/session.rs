//! One connection to a source, from its greeting to its end.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};

use super::assembler::Assembler;
use super::dump::{self, Dump};
use super::login::{self, Login};
use super::reply::ServerError;
use super::setup::{self, Setup};
use super::{Input, Output, Settings, StoredFile};
use crate::gtid::GtidSet;
use crate::packet::{Inbound, write_packet};
use crate::types::Epoch;

/// Longest answer to a command; the longest are GTID sets.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// A source may take so long until it greets: it looks up the name of our address first.
const GREETING_MS_MAX: u64 = 30_000;
/// Room for one read of the socket.
const READ_BYTES: usize = 128 * 1024;

/// The state machine of a connection.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    epoch: Epoch,
    phase: Phase,
    input: BytesMut,
    inbound: Inbound,
    assembler: Assembler,
    outputs: VecDeque<Output>,
    failed: Option<String>,
    now_ms: u64,
    /// When something came last, or was not waited for.
    heard_ms: u64,
}

#[derive(Debug)]
enum Phase {
    Login(Login),
    Setup(Setup),
    /// Waits for the order to dump.
    Ready {
        semi_sync: bool,
    },
    Dump(Dump),
    Over,
}

impl Session {
    /// For a connection that is made or being made.
    pub fn new(settings: Settings, epoch: Epoch) -> Session {
        Session {
            settings,
            epoch,
            phase: Phase::Login(Login::default()),
            input: BytesMut::new(),
            inbound: Inbound::new(ANSWER_BYTES_MAX),
            assembler: Assembler::new(epoch, None),
            outputs: VecDeque::new(),
            failed: None,
            now_ms: 0,
            heard_ms: 0,
        }
    }

    /// Where the shell appends what it reads from the socket (with room for one read), to be
    /// followed by [`Input::Received`]. Only to be filled while [`wants_input`](Self::wants_input).
    pub fn buffer(&mut self) -> &mut BytesMut {
        if self.input.capacity() - self.input.len() < READ_BYTES / 4 {
            self.input.reserve(READ_BYTES);
        }
        &mut self.input
    }

    /// Whether the socket is to be read. Changes only by `step`.
    pub fn wants_input(&self) -> bool {
        match &self.phase {
            Phase::Login(_) | Phase::Setup(_) | Phase::Ready { .. } => true,
            Phase::Dump(_) => self.assembler.wants_input(),
            Phase::Over => false,
        }
    }

    /// Tells what happened. To be followed by `poll` until None.
    pub fn step(&mut self, input: Input) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        let done = match input {
            Input::Received => {
                self.heard_ms = self.now_ms;
                self.read()
            }
            Input::Tick(now_ms) => self.tick(now_ms),
            Input::Dump { executed, stored } => self.dump(&executed, stored),
            Input::Committed { seq } => self.committed(seq),
            Input::ConnectionLost(text) => Err(match &self.phase {
                Phase::Login(login) if !login.is_greeted() => {
                    format!("no connection to the source: {text}")
                }
                _ => format!(
                    "the connection to the source is lost {}: {text}",
                    self.during()
                ),
            }),
        };
        if let Err(text) = done {
            self.phase = Phase::Over;
            self.input = BytesMut::new();
            self.failed = Some(text);
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if let Some((seq, body)) = self.assembler.poll() {
            return Some(Output::Chunk { seq, body });
        }
        self.failed.take().map(Output::Failed)
    }

    fn tick(&mut self, now_ms: u64) -> Result<(), String> {
        self.now_ms = now_ms;
        if matches!(self.phase, Phase::Ready { .. }) || !self.wants_input() {
            self.heard_ms = now_ms;
        }
        let silent_ms = now_ms.saturating_sub(self.heard_ms);
        let silence_ms_max = match &self.phase {
            Phase::Login(login) if !login.is_greeted() => GREETING_MS_MAX,
            _ => self.settings.timeout_ms,
        };
        if silent_ms <= silence_ms_max {
            return Ok(());
        }
        Err(match &self.phase {
            Phase::Dump(_) => format!(
                "nothing came from the source for {silent_ms} ms, not even the heartbeats it \
                 should send every {} ms: the connection or the source hangs",
                self.settings.heartbeat_ms
            ),
            _ => format!(
                "the source did not answer for {silent_ms} ms {}",
                self.during()
            ),
        })
    }

    fn dump(&mut self, executed: &GtidSet, stored: Option<StoredFile>) -> Result<(), String> {
        let Phase::Ready { semi_sync } = self.phase else {
            return Ok(());
        };
        self.heard_ms = self.now_ms;
        self.send(0, &dump::command(self.settings.server_id, executed));
        self.assembler = Assembler::new(self.epoch, stored);
        self.phase = Phase::Dump(Dump::new(semi_sync));
        self.read()
    }

    fn committed(&mut self, seq: u64) -> Result<(), String> {
        self.assembler.committed(seq);
        if let Phase::Dump(dump) = &mut self.phase
            && let Some(ack) = dump.committed(seq)
        {
            self.send(0, &ack);
        }
        self.read()
    }

    /// Takes what is in the buffer, as far as it goes.
    fn read(&mut self) -> Result<(), String> {
        while !matches!(self.phase, Phase::Dump(_) | Phase::Over) {
            let Some(payload) = self.inbound.feed(&mut self.input) else {
                return Ok(());
            };
            let payload = payload.map_err(|error| {
                format!(
                    "the source's answer cannot be read {}: {error}",
                    self.during()
                )
            })?;
            self.payload(payload.seq.wrapping_add(1), &payload.bytes)?;
        }
        self.read_events()
    }

    fn read_events(&mut self) -> Result<(), String> {
        let Phase::Dump(dump) = &mut self.phase else {
            return Ok(());
        };
        let mut at = 0;
        while self.assembler.wants_input() {
            match dump.take(&self.input[at..], &mut self.assembler)? {
                0 => break,
                taken => at += taken,
            }
        }
        self.input.advance(at);
        let wants = dump.wants(&self.input);
        if wants > self.input.capacity() {
            self.input.reserve(wants - self.input.len());
        }
        if self.assembler.settled()
            && let Some(ack) = dump.committed(u64::MAX)
        {
            self.send(0, &ack);
        }
        Ok(())
    }

    fn payload(&mut self, seq: u8, bytes: &[u8]) -> Result<(), String> {
        match &mut self.phase {
            Phase::Login(login) => match login.payload(&self.settings, bytes)? {
                login::Next::Wait => {}
                login::Next::Send(answer) => self.send(seq, &answer),
                login::Next::Done => {
                    let (setup, command) = Setup::new(&self.settings);
                    self.phase = Phase::Setup(setup);
                    self.send(0, &command);
                }
            },
            Phase::Setup(setup) => match setup.payload(&self.settings, bytes)? {
                setup::Next::Wait => {}
                setup::Next::Send(command) => self.send(0, &command),
                setup::Next::Done(facts) => {
                    self.phase = Phase::Ready {
                        semi_sync: facts.semi_sync,
                    };
                    self.outputs.push_back(Output::Established(facts));
                }
            },
            Phase::Ready { .. } => {
                return Err(match ServerError::parse(bytes) {
                    Some(error) => format!("the source ended the connection: {error}"),
                    None => "the source speaks without being asked".to_owned(),
                });
            }
            Phase::Dump(_) | Phase::Over => unreachable!("payloads are read before the dump only"),
        }
        Ok(())
    }

    fn send(&mut self, mut seq: u8, payload: &[u8]) {
        let mut out = Vec::new();
        write_packet(&mut out, &mut seq, payload);
        self.outputs.push_back(Output::Send(out.into()));
    }

    fn during(&self) -> String {
        match &self.phase {
            Phase::Login(_) => "while logging in".to_owned(),
            Phase::Setup(setup) => format!("during {}", setup.what()),
            Phase::Ready { .. } => "before the dump".to_owned(),
            Phase::Dump(_) => {
                let (file, position) = self.assembler.place();
                format!("at {file}:{position}")
            }
            Phase::Over => "after its end".to_owned(),
        }
    }
}
