//! A node's disk in time: `fdatasync` and reads take as long as the model says.

use std::time::Duration;

use bytes::Bytes;
use kingbus_core::chunk::Part;
use kingbus_core::node::index::{Content, IndexOp, Row};
use kingbus_core::node::port::{DiskEffect, DiskInput, Input};
use kingbus_core::types::SegmentId;
use kingbus_sim::oracles::{Violation, writes_are_numbered_upwards};
use kingbus_sim::schedule::Moment;
use kingbus_sim::trace::Note;
use madsim::task::spawn;
use madsim::time::sleep;
use tokio::sync::mpsc;

use crate::driver::Driver;
use crate::world::{Shared, World};

/// Syncs whenever something wants it.
pub async fn sync(shared: Shared, node: usize, life: u64, inbox: mpsc::Sender<Input>) {
    let wants = shared.lock().hosts[node].wants_sync.clone();
    loop {
        let begun = shared.lock().begin_sync(node, life);
        let Some(us) = begun else {
            wants.notified().await;
            continue;
        };
        strike(&shared, node, life);
        sleep(Duration::from_micros(us)).await;
        while shared.lock().hosts[node].disk.stuck > 0 {
            wants.notified().await;
        }
        let done = shared.lock().end_sync(node, life);
        let Some(seq) = done else { return };
        let written = Input::Disk(DiskInput::Written { seq });
        if inbox.send(written).await.is_err() {
            return;
        }
    }
}

/// A crash that waits for an `fdatasync` comes while one is under way.
fn strike(shared: &Shared, node: usize, life: u64) {
    let mut world = shared.lock();
    let Some(fault) = world.take_armed(node, Moment::Syncing) else {
        return;
    };
    let host = &mut world.hosts[node];
    let us = host.rng.range(0, 2_000 + host.disk.slow_us);
    let shared = shared.clone();
    spawn(async move {
        sleep(Duration::from_micros(us)).await;
        shared.lock().crash(node, life, fault);
    });
}

impl World {
    fn begin_sync(&mut self, node: usize, life: u64) -> Option<u64> {
        let host = &mut self.hosts[node];
        if !host.is(life) {
            return None;
        }
        host.disk.begin_sync(&self.schedule.settings)
    }

    fn end_sync(&mut self, node: usize, life: u64) -> Option<u64> {
        let host = &mut self.hosts[node];
        if !host.is(life) {
            return None;
        }
        let seq = host.disk.end_sync()?;
        if !host.disk.lies {
            self.oracles.logs.synced(node, seq);
        }
        self.note(Note::Synced {
            node: node as u64 + 1,
            seq,
        });
        Some(seq)
    }

    /// The answer to a question, or what is wrong with the disk. None: an index that was given up says
    /// nothing, and what was purged meanwhile nobody waits for.
    fn answer(&mut self, node: usize, question: &DiskEffect) -> Option<DiskInput> {
        let disk = &mut self.hosts[node].disk;
        let settings = &self.schedule.settings;
        if let DiskEffect::ReadBody { token, span } = *question {
            return match disk.read_body(span, settings) {
                Ok(body) => body.map(|body| DiskInput::Body { token, body }),
                Err(text) => Some(DiskInput::Damaged { text }),
            };
        }
        if disk.index_fails() {
            let text = "the index cannot be read".to_owned();
            return Some(DiskInput::Damaged { text });
        }
        let there = !disk.index_gone;
        there.then(|| disk.answer(question, settings)).flatten()
    }
}

/// Answers a question after as long as a read takes.
pub async fn read(
    shared: Shared,
    (node, life): (usize, u64),
    us: u64,
    question: DiskEffect,
    inbox: mpsc::Sender<Input>,
) {
    sleep(Duration::from_micros(us)).await;
    let answer = {
        let mut world = shared.lock();
        let here = world.hosts[node].is(life);
        here.then(|| world.answer(node, &question)).flatten()
    };
    if let Some(answer) = answer {
        // The node may have died meanwhile.
        let _ = inbox.send(Input::Disk(answer)).await;
    }
}

impl Driver {
    /// Something is wanted of the disk.
    pub fn disk(&mut self, world: &mut World, effect: DiskEffect) -> Result<(), Violation> {
        let host = &mut world.hosts[self.node];
        match effect {
            DiskEffect::Create { segment, len } => {
                host.disk.segments.create(segment, len);
                Ok(())
            }
            DiskEffect::Write {
                seq,
                segment,
                offset,
                parts,
                sync,
            } => self.write(world, (seq, segment, offset, parts, sync)),
            DiskEffect::Index(ops) => self.index(world, ops),
            DiskEffect::Forget { before } => world.delete(self.node, before),
            question @ (DiskEffect::ReadRows { .. }
            | DiskEffect::ReadCheckpoint { .. }
            | DiskEffect::FindCheckpoint { .. }
            | DiskEffect::ReadFile { .. }
            | DiskEffect::ReadFiles { .. }
            | DiskEffect::ReadBody { .. }) => {
                let us = host.disk.read_us(&world.schedule.settings);
                let ends = (self.node, self.life);
                let (shared, inbox) = (self.shared.clone(), self.inbox.clone());
                spawn(read(shared, ends, us, question, inbox));
                Ok(())
            }
        }
    }

    fn write(
        &mut self,
        world: &mut World,
        (seq, segment, offset, parts, sync): (u64, SegmentId, u64, Vec<Bytes>, bool),
    ) -> Result<(), Violation> {
        let node = self.number();
        let host = &mut world.hosts[self.node];
        writes_are_numbered_upwards(self.node, seq, host.last_seq)?;
        host.last_seq = seq;
        host.disk.write(seq, segment, offset, &parts, sync);
        let len = parts.iter().map(|part| part.len() as u64).sum();
        host.wants_sync.notify_one();
        world.note(Note::Wrote {
            node,
            seq,
            segment: segment.0,
            offset,
            len,
            sync,
        });
        let disk = &world.hosts[self.node].disk;
        let written = disk.segments.range(segment, offset, len);
        let restored = world.oracles.wrote(self.node, seq, (written, offset))?;
        if let Some(base) = restored {
            let index = base.applied.index.0;
            world.note(Note::Restored { node, index });
        }
        Ok(())
    }

    fn index(&mut self, world: &mut World, ops: Vec<IndexOp>) -> Result<(), Violation> {
        for op in &ops {
            match op {
                IndexOp::Row(row) => self.applied(world, row)?,
                IndexOp::Forget(before) => {
                    world.oracles.purges.rows_forgotten(self.node, *before)?;
                }
                IndexOp::File(_) | IndexOp::Checkpoint(_) => {}
            }
        }
        let host = &mut world.hosts[self.node];
        host.disk.put(ops, &world.schedule.settings);
        let struck = self
            .inside
            .then(|| world.take_armed(self.node, Moment::Inside));
        if let Some(fault) = struck.flatten() {
            let (shared, node, life) = (self.shared.clone(), self.node, self.life);
            spawn(async move { shared.lock().crash(node, life, fault) });
        }
        Ok(())
    }

    fn applied(&mut self, world: &mut World, row: &Row) -> Result<(), Violation> {
        let body = world.hosts[self.node].disk.row_body(row);
        world
            .oracles
            .applied(self.node, row, body, &world.sources)?;
        world.members_applied(self.node, row)?;
        let (mut void, mut part) = (false, None);
        if let Content::Chunk(chunk) = &row.content {
            (void, part) = (chunk.void, Some(chunk.part));
        }
        self.inside = matches!(part, Some(Part::First | Part::Middle));
        let crc = world.oracles.state.crc(row.index);
        world.note(Note::Applied {
            node: self.number(),
            index: row.index.0,
            term: row.term.0,
            crc,
            void,
        });
        Ok(())
    }
}
