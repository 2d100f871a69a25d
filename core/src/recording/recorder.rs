//! Makes a recording, next to the node.

use bytes::Bytes;
use serde::Serialize;

use super::{HEADER_LEN, MAGIC, STATE_INPUTS, State, VERSION, program};
use crate::fingerprint::Fingerprint;
use crate::log::Recovered;
use crate::node::port::{Effect, Input};
use crate::node::{Config, Node};

/// Kinds of frames.
pub(super) mod kind {
    pub(crate) const BEGIN: u8 = 1;
    pub(crate) const INPUT: u8 = 2;
    pub(crate) const STATE: u8 = 3;
    pub(crate) const END: u8 = 4;
}

/// Turns what a node is told into frames. Tell it of each input before the node, and of each effect when
/// it comes out.
#[derive(Debug, Default)]
pub struct Recorder {
    inputs: u64,
    effects: Fingerprint,
}

impl Recorder {
    /// A recording of a node that is about to be made of these; with the first bytes of the file.
    pub fn begin(config: &Config, recovered: &Recovered) -> (Recorder, Bytes) {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        let out = put_frame(out, kind::BEGIN, &(program(), config, recovered));
        (Recorder::default(), out.into())
    }

    /// An input, before the node has it: if the node fails over it, it is in the recording.
    pub fn input(&mut self, input: &Input) -> Bytes {
        self.count();
        frame(kind::INPUT, &(self.effects.value(), input))
    }

    /// Counts an input that is recorded already.
    pub(super) fn count(&mut self) {
        self.inputs += 1;
    }

    /// The fingerprint of all effects so far.
    pub(super) fn effects(&self) -> u64 {
        self.effects.value()
    }

    /// An effect of the node.
    pub fn effect(&mut self, effect: &Effect) {
        self.effects.add(effect);
    }

    /// Whether the state is to be noted, now that the effects of an input are out.
    pub fn state_due(&self) -> bool {
        self.inputs.is_multiple_of(STATE_INPUTS)
    }

    /// The state of the node now.
    pub fn state(&self, node: &Node) -> State {
        State {
            inputs: self.inputs,
            effects: self.effects.value(),
            node: node.fingerprint(),
        }
    }

    /// The frame of a state.
    pub fn note(&self, node: &Node) -> Bytes {
        frame(kind::STATE, &self.state(node))
    }

    /// The last frames.
    pub fn end(&self, node: &Node) -> Bytes {
        let state = put_frame(Vec::new(), kind::STATE, &self.state(node));
        put_frame(state, kind::END, &()).into()
    }
}

fn frame(kind: u8, body: &impl Serialize) -> Bytes {
    put_frame(Vec::new(), kind, body).into()
}

/// Adds a frame.
fn put_frame(mut out: Vec<u8>, kind: u8, body: &impl Serialize) -> Vec<u8> {
    let at = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    let mut out = postcard::to_extend(body, out).expect("what is recorded is encodable");
    let body = &out[at + HEADER_LEN..];
    let (len, crc) = (body.len() as u32, crc32c::crc32c(body));
    let header = &mut out[at..at + HEADER_LEN];
    header[..4].copy_from_slice(&len.to_le_bytes());
    header[4] = kind;
    header[8..12].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    out
}
