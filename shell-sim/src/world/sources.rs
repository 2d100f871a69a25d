//! Nodes and the source.

use kingbus_core::node::port::{Input, SourceEffect, SourceInput};
use kingbus_core::types::Epoch;

use super::{Event, World};
use crate::oracles::Violation;
use crate::plant::Plant;
use crate::source::Link;
use crate::trace::Note;

/// Events that arrive at once.
const EVENTS_MAX: u64 = 24;

impl World {
    pub(super) fn source_effect(
        &mut self,
        node: usize,
        life: u64,
        effect: SourceEffect,
    ) -> Result<(), Violation> {
        match effect {
            SourceEffect::Connect { epoch, .. } => {
                let host = &mut self.hosts[node];
                host.link = Some(Link::new(epoch));
                host.reading = false;
                self.note(Note::Connect {
                    node: node as u64 + 1,
                    epoch: epoch.0,
                });
                let us = 4 * self.source_way_us(node);
                self.after(us, Event::SourceLogin { node, life, epoch });
            }
            SourceEffect::Dump {
                epoch,
                executed,
                file,
                file_ordinal,
            } => {
                if let Some(link) = current(&mut self.hosts[node].link, epoch) {
                    let (from, known) = link.dump(&self.source, executed, file, file_ordinal);
                    let waits = self.schedule.settings.clients > 0;
                    self.probes.hit_if(
                        waits && known > self.source.acknowledged,
                        "acknowledged_by_the_request",
                    );
                    self.note(Note::Dump {
                        node: node as u64 + 1,
                        epoch: epoch.0,
                        from: from as u64,
                    });
                    self.acknowledge_soon(node, Some(known));
                    self.read_soon(node);
                }
            }
            SourceEffect::Committed { epoch, seq } => {
                if let Some(link) = current(&mut self.hosts[node].link, epoch) {
                    let before = link.committed(seq);
                    self.acknowledge_soon(node, before);
                    self.read_soon(node);
                } else {
                    self.probes.hit("committed_after_the_connection");
                }
            }
            SourceEffect::Disconnect { epoch } => {
                if current(&mut self.hosts[node].link, epoch).is_some() {
                    self.hosts[node].link = None;
                    self.note(Note::Disconnect {
                        node: node as u64 + 1,
                        epoch: epoch.0,
                    });
                }
            }
        }
        Ok(())
    }

    fn source_way_us(&mut self, node: usize) -> u64 {
        let longest = self.schedule.settings.client_us_max.max(20);
        self.hosts[node].rng.range(20, longest)
    }

    pub(super) fn source_login(
        &mut self,
        node: usize,
        life: u64,
        epoch: Epoch,
    ) -> Result<(), Violation> {
        if !self.source.up {
            self.probes.hit("source_not_there");
            return self.source_failed(node, life, epoch, "connection refused");
        }
        let link = current(&mut self.hosts[node].link, epoch);
        if link.is_none_or(|link| link.broken) {
            return Ok(());
        }
        let facts = self.source.facts(&self.schedule.settings);
        self.input(
            node,
            life,
            Input::Source(SourceInput::Established { epoch, facts }),
        )
    }

    /// There may be something to read.
    pub(super) fn read_soon(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let Some(epoch) = host.link.as_ref().map(|link| link.epoch) else {
            return;
        };
        if !std::mem::replace(&mut host.reading, true) {
            let life = host.life;
            let us = self.source_way_us(node);
            self.after(us, Event::SourceRead { node, life, epoch });
        }
    }

    pub(super) fn source_read(
        &mut self,
        node: usize,
        life: u64,
        epoch: Epoch,
    ) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        let reads = |link: &&mut Link| !link.broken && host.life == life;
        let Some(link) = current(&mut host.link, epoch).filter(reads) else {
            return Ok(());
        };
        host.reading = false;
        let events = host.rng.range(1, EVENTS_MAX);
        let pumped = match link.pump(&self.source, events) {
            Ok(pumped) => pumped,
            Err(text) => return self.fail("the_source_is_understood", text),
        };
        self.probes.hit_if(pumped.full, "source_not_read");
        let skipped = pumped.known_before.is_some();
        self.probes.hit_if(skipped, "acknowledged_by_passing_over");
        let inside = link.in_parts() || link.inside() && host.rng.chance(100_000);
        self.acknowledge_soon(node, pumped.known_before);
        if pumped.more {
            self.read_soon(node);
        }
        if inside {
            self.strike_source_inside(node);
        }
        self.give_chunks(node, life, epoch)
    }

    fn give_chunks(&mut self, node: usize, life: u64, epoch: Epoch) -> Result<(), Violation> {
        while let Some(link) = current(&mut self.hosts[node].link, epoch) {
            let Some((seq, body)) = link.chunk() else {
                break;
            };
            if self.plant == Some(Plant::EarlyAcknowledgement) {
                let before = link.acknowledge(seq);
                self.acknowledge_soon(node, before);
            }
            let crc = crate::trace::mark(&body);
            self.note(Note::Chunk {
                node: node as u64 + 1,
                epoch: epoch.0,
                seq,
                crc,
            });
            self.input(
                node,
                life,
                Input::Source(SourceInput::Chunk { epoch, seq, body }),
            )?;
        }
        Ok(())
    }

    pub(super) fn source_failed(
        &mut self,
        node: usize,
        life: u64,
        epoch: Epoch,
        error: &str,
    ) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        if !host.is(life) || current(&mut host.link, epoch).is_none() {
            return Ok(());
        }
        host.link = None;
        self.note(Note::Disconnect {
            node: node as u64 + 1,
            epoch: epoch.0,
        });
        let error = error.to_owned();
        self.input(
            node,
            life,
            Input::Source(SourceInput::Failed { epoch, error }),
        )
    }

    fn acknowledge_soon(&mut self, node: usize, before: Option<usize>) {
        if let (Some(before), true) = (before, self.schedule.settings.clients > 0) {
            let us = self.source_way_us(node);
            self.after(us, Event::SourceAck { before });
        }
    }

    pub(super) fn source_acknowledged(&mut self, before: usize) -> Result<(), Violation> {
        if !self.source.up || before <= self.source.acknowledged {
            return Ok(());
        }
        for transaction in self.source.acknowledged..before {
            self.oracles.acknowledge(transaction)?;
        }
        self.source.acknowledged = before;
        self.note(Note::Acknowledged {
            before: before as u64,
        });
        Ok(())
    }

    pub(super) fn commit(&mut self) -> Result<(), Violation> {
        let mean = self.schedule.settings.commit_us;
        let pause = self.commits.range(mean / 10, 2 * mean);
        if self.healed_us.is_none() {
            self.after(pause, Event::Commit);
            if self.source.may_commit(&self.schedule.settings) {
                self.commit_now(None);
            } else {
                self.probes.hit_if(self.source.up, "clients_wait");
            }
        }
        Ok(())
    }

    pub(super) fn commit_now(&mut self, len: Option<usize>) {
        let ordinal = self.source.commit(&self.schedule.settings, len);
        let len = self.source.transactions()[ordinal].bytes.len() as u64;
        self.note(Note::Committed {
            transaction: ordinal as u64,
            len,
        });
        (0..self.hosts.len()).for_each(|node| self.read_soon(node));
    }

    pub(super) fn source_down(&mut self) {
        self.source.up = false;
        self.note(Note::Source { up: false });
        (0..self.hosts.len()).for_each(|node| self.break_link(node));
    }

    /// A node's connection to the source breaks; the node learns of it a little later.
    pub(super) fn break_link(&mut self, node: usize) {
        let us = self.source_way_us(node);
        let host = &mut self.hosts[node];
        let life = host.life;
        if let Some(link) = &mut host.link {
            link.broken = true;
            let owed = link.owes();
            self.probes
                .hit_if(owed, "acknowledgement_lost_with_the_connection");
            let epoch = link.epoch;
            self.after(us, Event::SourceLost { node, life, epoch });
        }
    }

    pub(super) fn source_up(&mut self) -> Result<(), Violation> {
        if !self.source.up {
            self.source.restart();
            self.note(Note::Source { up: true });
        }
        Ok(())
    }
}

/// The connection, if it is this one.
fn current(link: &mut Option<Link>, epoch: Epoch) -> Option<&mut Link> {
    link.as_mut().filter(|link| link.epoch == epoch)
}
