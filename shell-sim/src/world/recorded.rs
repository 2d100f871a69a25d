//! What nodes are told, recorded as `kingbus serve --record` does it.

use std::collections::BTreeMap;

use kingbus_core::log::Recovered;
use kingbus_core::node::port::{Effect, Input};
use kingbus_core::node::{Config, Node};
use kingbus_core::recording::Recorder;

use super::World;

/// Recordings of all lives of all nodes.
#[derive(Default)]
pub(super) struct Recorded {
    running: BTreeMap<usize, (Recorder, Vec<u8>)>,
    /// Of lives that are over.
    ended: Vec<Vec<u8>>,
}

impl Recorded {
    /// A node begins a life.
    pub(super) fn begin(&mut self, node: usize, config: &Config, recovered: &Recovered) {
        let (recorder, head) = Recorder::begin(config, recovered);
        let before = self.running.insert(node, (recorder, head.to_vec()));
        self.ended.extend(before.map(|(_, file)| file));
    }

    /// It is about to be told something.
    pub(super) fn input(&mut self, node: usize, input: &Input) {
        let (recorder, file) = self.running.get_mut(&node).expect("it began");
        file.extend(recorder.input(input));
    }

    /// It wants something done.
    pub(super) fn effect(&mut self, node: usize, effect: &Effect) {
        let (recorder, _) = self.running.get_mut(&node).expect("it began");
        recorder.effect(effect);
    }

    fn settled(&mut self, number: usize, node: &Node) {
        let (recorder, file) = self.running.get_mut(&number).expect("it began");
        if recorder.state_due() {
            file.extend(recorder.note(node));
        }
    }
}

impl World {
    /// Records all nodes from now on; to be called before the first step.
    pub fn record(&mut self) {
        self.recorded = Some(Recorded::default());
    }

    /// All effects of an input are out.
    pub(super) fn record_state(&mut self, node: usize) {
        if let (Some(recorded), Some(running)) = (&mut self.recorded, &self.hosts[node].node) {
            recorded.settled(node, running);
        }
    }

    /// The recordings, one a life. Those that still run end here.
    pub fn into_recordings(mut self) -> Vec<Vec<u8>> {
        let Some(mut recorded) = self.recorded.take() else {
            return Vec::new();
        };
        for (number, (recorder, mut file)) in recorded.running {
            if let Some(node) = &self.hosts[number].node {
                file.extend(recorder.end(node));
            }
            recorded.ended.push(file);
        }
        recorded.ended
    }
}
