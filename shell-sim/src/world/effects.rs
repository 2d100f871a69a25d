//! What a node wants done.

use bytes::Bytes;
use kingbus_core::chunk::Part;
use kingbus_core::log::{Kind, RecordHeader};
use kingbus_core::node::index::{Content, IndexOp, Row};
use kingbus_core::node::port::{
    AdminEffect, DiskEffect, DiskInput, Effect, Input, ReplicaEffect, Serving,
};
use kingbus_core::types::SegmentId;

use super::{Event, World};
use crate::oracles::{Violation, writes_are_numbered_upwards};
use crate::trace::Note;

impl World {
    pub(super) fn effect(
        &mut self,
        node: usize,
        life: u64,
        effect: Effect,
    ) -> Result<(), Violation> {
        match effect {
            Effect::Peer(envelope) => self.send(node, life, envelope),
            Effect::Source(effect) => self.source_effect(node, life, effect),
            Effect::Replica(effect) => self.replica_effect(node, life, effect),
            Effect::Disk(effect) => self.disk_effect(node, life, effect),
            Effect::Admin(effect) => self.admin_effect(node, life, effect),
            Effect::Serving(serving) => {
                let yes = matches!(serving, Serving::Yes { .. });
                if yes {
                    self.damaged_is_silent(node, "serves")?;
                }
                if let Serving::Yes {
                    version,
                    binlog_checksum,
                } = serving
                {
                    self.hosts[node].greeting = Some((version, binlog_checksum));
                }
                let served = std::mem::replace(&mut self.hosts[node].serves, yes);
                self.probes.hit_if(served && !yes, "stopped_serving");
                self.note(Note::Serving {
                    node: node as u64 + 1,
                    yes,
                });
                Ok(())
            }
            // Nodes find each other by their numbers here.
            Effect::Members(_) => Ok(()),
        }
    }

    fn admin_effect(
        &mut self,
        node: usize,
        life: u64,
        effect: AdminEffect,
    ) -> Result<(), Violation> {
        match effect {
            AdminEffect::Status { status, .. } => self.status(node, life, &status),
            AdminEffect::Done { token } => self.operator_answered(node, token, None),
            AdminEffect::Refused { token, text } => {
                self.operator_answered(node, token, Some(&text))
            }
        }
    }

    fn replica_effect(
        &mut self,
        node: usize,
        life: u64,
        effect: ReplicaEffect,
    ) -> Result<(), Violation> {
        match effect {
            ReplicaEffect::Send {
                replica,
                head,
                body,
            } => {
                self.damaged_is_silent(node, "sends to a replica")?;
                let body = match body {
                    None => None,
                    Some(slice) => match self.read_body(node, life, slice.span, "replica") {
                        Some(body) => Some(body.slice(slice.from as usize..slice.to as usize)),
                        None => return self.end_replica(node, replica, "unreadable"),
                    },
                };
                self.send_to_replica(node, life, replica, head, body)
            }
            ReplicaEffect::Refuse { replica, text, .. } => {
                self.refuse_replica(node, replica, &text)
            }
            ReplicaEffect::Eof { replica } => self.end_replica(node, replica, "end of file"),
            ReplicaEffect::Close { replica } => {
                self.probes.hit("replica_sent_away");
                let purged = self.hosts[node].serves;
                self.probes.hit_if(purged, "replica_sent_away_by_a_purge");
                self.end_replica(node, replica, "sent away")
            }
        }
    }

    fn disk_effect(&mut self, node: usize, life: u64, effect: DiskEffect) -> Result<(), Violation> {
        match effect {
            DiskEffect::Create { segment, len } => {
                self.hosts[node].disk.segments.create(segment, len);
                self.probes.hit("segment_made");
                Ok(())
            }
            DiskEffect::Write {
                seq,
                segment,
                offset,
                parts,
                sync,
            } => self.write(node, (seq, segment, offset, parts, sync)),
            DiskEffect::Index(ops) => self.index(node, ops),
            DiskEffect::Forget { before } => self.segments_forgotten(node, before),
            question @ (DiskEffect::ReadRows { .. }
            | DiskEffect::ReadCheckpoint { .. }
            | DiskEffect::FindCheckpoint { .. }
            | DiskEffect::ReadFile { .. }
            | DiskEffect::ReadFiles { .. }
            | DiskEffect::ReadBody { .. }) => {
                let us = self.hosts[node].disk.read_us(&self.schedule.settings);
                self.after(
                    us,
                    Event::Answer {
                        node,
                        life,
                        question,
                    },
                );
                Ok(())
            }
        }
    }

    pub(super) fn answer(
        &mut self,
        node: usize,
        life: u64,
        question: DiskEffect,
    ) -> Result<(), Violation> {
        if !self.hosts[node].is(life) {
            return Ok(());
        }
        if !matches!(question, DiskEffect::ReadBody { .. }) {
            let disk = &mut self.hosts[node].disk;
            if disk.index_fails() {
                return self.index_given_up(node, life);
            }
            if disk.index_gone {
                return Ok(());
            }
        }
        let answer = if let DiskEffect::ReadBody { token, span } = question {
            let Some(body) = self.read_body(node, life, span, "cursor") else {
                return Ok(());
            };
            Some(DiskInput::Body { token, body })
        } else {
            let disk = &self.hosts[node].disk;
            disk.answer(&question, &self.schedule.settings)
        };
        self.probe_jump(node, &question, &answer);
        let rows = matches!(answer, Some(DiskInput::Rows { .. }));
        self.probes.hit_if(rows, "rows_read");
        match answer {
            Some(answer) => self.input(node, life, Input::Disk(answer)),
            None => Ok(()),
        }
    }

    /// Whether a cursor will jump, and not only start.
    fn probe_jump(&mut self, node: usize, question: &DiskEffect, answer: &Option<DiskInput>) {
        let DiskEffect::FindCheckpoint { from, .. } = *question else {
            return;
        };
        let Some(DiskInput::Checkpoint {
            checkpoint: Some(checkpoint),
            ..
        }) = answer
        else {
            return;
        };
        let starts = from <= self.oracles.purges.first(node);
        if starts || checkpoint.applied.visible() < from {
            return;
        }
        let file = self.hosts[node].disk.index.file(from);
        let other = file != checkpoint.applied.file;
        self.probes.hit("hole_jumped_over");
        self.probes
            .hit_if(other, "hole_jumped_over_into_another_file");
    }

    fn write(
        &mut self,
        node: usize,
        (seq, segment, offset, parts, sync): (u64, SegmentId, u64, Vec<Bytes>, bool),
    ) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        writes_are_numbered_upwards(node, seq, host.last_seq)?;
        host.last_seq = seq;
        host.disk.write(seq, segment, offset, &parts, sync);
        let is_padding = |part: &Bytes| {
            RecordHeader::parse(part).is_some_and(|header| header.kind == Kind::Padding)
        };
        self.probes
            .hit_if(parts.iter().any(is_padding), "long_body_padded");
        let len = parts.iter().map(|part| part.len() as u64).sum();
        self.note(Note::Wrote {
            node: node as u64 + 1,
            seq,
            segment: segment.0,
            offset,
            len,
            sync,
        });
        let full = self.hosts[node].disk.full;
        self.probes.hit_if(full, "write_waits_for_space");
        self.log_written(node, seq, (segment, offset, len))?;
        self.begin_sync(node);
        self.strike_syncing(node);
        Ok(())
    }

    fn log_written(
        &mut self,
        node: usize,
        seq: u64,
        (segment, offset, len): (SegmentId, u64, u64),
    ) -> Result<(), Violation> {
        let logs = &self.oracles.logs;
        let before = (logs.overwritten, logs.overwritten_early, logs.came_back);
        let written = self.hosts[node].disk.segments.range(segment, offset, len);
        let restored = self.oracles.wrote(node, seq, (written, offset))?;
        if let Some(base) = restored {
            self.probes.hit("snapshot_restored");
            self.note(Note::Restored {
                node: node as u64 + 1,
                index: base.applied.index.0,
            });
        }
        let (logs, probes) = (&self.oracles.logs, &mut self.probes);
        probes.hit_if(logs.overwritten > before.0, "log_tail_replaced");
        probes.hit_if(
            logs.overwritten_early > before.1,
            "log_tail_replaced_before_it_was_durable",
        );
        probes.hit_if(logs.came_back > before.2, "replaced_entry_came_back");
        Ok(())
    }

    fn index(&mut self, node: usize, ops: Vec<IndexOp>) -> Result<(), Violation> {
        for op in &ops {
            match op {
                IndexOp::Row(row) => self.row_applied(node, row)?,
                IndexOp::File(_) => self.probes.hit("binlog_file_begun"),
                IndexOp::Checkpoint(_) => self.probes.hit("checkpoint_made"),
                IndexOp::Forget(before) => {
                    self.oracles.purges.rows_forgotten(node, *before)?;
                }
            }
        }
        self.hosts[node].disk.put(ops, &self.schedule.settings);
        Ok(())
    }

    fn row_applied(&mut self, node: usize, row: &Row) -> Result<(), Violation> {
        let aborted = self.oracles.history.aborted;
        self.entry_applied(node, row)?;
        self.members_applied(node, row)?;
        let (index, term) = (row.index.0, row.term.0);
        let crc = self.oracles.state.crc(row.index);
        self.probes.hit_if(
            self.oracles.history.aborted > aborted,
            "transaction_given_up",
        );
        let (mut void, mut part) = (false, None);
        if let Content::Chunk(chunk) = &row.content {
            (void, part) = (chunk.void, Some(chunk.part));
        }
        self.probes.hit_if(void, "chunk_void");
        self.note(Note::Applied {
            node: node as u64 + 1,
            index,
            term,
            crc,
            void,
        });
        let goes_on = matches!(part, Some(Part::First | Part::Middle));
        let segment = goes_on.then_some(row.span.segment);
        let before = std::mem::replace(&mut self.hosts[node].part_in, segment);
        let across = part.is_some() && before.is_some_and(|before| before != row.span.segment);
        self.probes.hit_if(across, "transaction_across_segments");
        if goes_on {
            self.probes.hit("part_applied");
            self.strike_inside(node);
        }
        Ok(())
    }
}
