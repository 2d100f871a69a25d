//! Nodes and the source.

use kingbus_core::gtid::GtidSet;
use kingbus_core::node::catalog::SourceDefinition;
use kingbus_core::node::port::{Input, SourceEffect, SourceInput, StoredFile};
use kingbus_core::types::Epoch;

use super::upstream::source_number;
use super::{Event, World};
use crate::oracles::{
    Violation, no_silent_merge, only_what_a_connection_brought_is_acknowledged,
    the_source_is_understood,
};
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
            SourceEffect::Connect { epoch, definition } => {
                self.connect_source(node, life, epoch, &definition);
            }
            SourceEffect::Dump {
                epoch,
                executed,
                stored,
            } => self.dump_source(node, epoch, executed, stored)?,
            SourceEffect::Committed { epoch, seq } => {
                let link = current(&mut self.hosts[node].link, epoch);
                only_what_a_connection_brought_is_acknowledged(node, epoch, link.is_some())?;
                if let Some(link) = link {
                    let before = link.committed(seq);
                    self.acknowledge_soon(node, before, false);
                    self.read_soon(node);
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

    fn connect_source(
        &mut self,
        node: usize,
        life: u64,
        epoch: Epoch,
        definition: &SourceDefinition,
    ) {
        let number = source_number(definition);
        let host = &mut self.hosts[node];
        host.link = Some(Link::new(epoch, number));
        host.reading = false;
        host.told = None;
        self.note(Note::Connect {
            node: node as u64 + 1,
            epoch: epoch.0,
        });
        let us = 4 * self.source_way_us(node);
        self.after(us, Event::SourceLogin { node, life, epoch });
    }

    fn dump_source(
        &mut self,
        node: usize,
        epoch: Epoch,
        executed: GtidSet,
        stored: Option<StoredFile>,
    ) -> Result<(), Violation> {
        let host = &mut self.hosts[node];
        let life = host.life;
        let Some(link) = current(&mut host.link, epoch) else {
            return Ok(());
        };
        no_silent_merge(link.number, link.facts.as_ref(), &executed)?;
        let history = link.history;
        if let Some(error) = self.sources.history(history).refuses(&executed) {
            self.probes.hit("dump_refused_by_the_source");
            let us = self.source_way_us(node);
            let event = Event::SourceRefuses {
                node,
                life,
                epoch,
                error,
            };
            self.after(us, event);
            return Ok(());
        }
        self.probe_switch(stored.as_ref(), history);
        let source = self.sources.history(history);
        let link = self.hosts[node].link.as_mut().expect("it was there");
        let (from, known) = link.dump(source, executed, stored);
        let waits = source.semi_sync.is_there();
        self.probes.hit_if(
            waits && known > source.semi_sync.acknowledged,
            "acknowledged_by_the_request",
        );
        self.note(Note::Dump {
            node: node as u64 + 1,
            epoch: epoch.0,
            from: from as u64,
        });
        self.acknowledge_soon(node, Some(known), true);
        self.read_soon(node);
        Ok(())
    }

    pub(super) fn source_way_us(&mut self, node: usize) -> u64 {
        let longest = self.schedule.settings.client_us_max.max(20);
        self.hosts[node].rng.range(20, longest)
    }

    pub(super) fn source_login(
        &mut self,
        node: usize,
        life: u64,
        epoch: Epoch,
    ) -> Result<(), Violation> {
        let Some(link) = current(&mut self.hosts[node].link, epoch).filter(|link| !link.broken)
        else {
            return Ok(());
        };
        let history = self.sources.of_number(link.number);
        let Some(history) = history.filter(|history| self.sources.history(*history).up) else {
            self.probes.hit("source_not_there");
            return self.source_failed(node, life, epoch, "connection refused");
        };
        let facts = self.sources.history(history).facts();
        link.history = history;
        link.facts = Some(facts.clone());
        self.probes
            .hit_if(!facts.owned.is_empty(), "source_owns_what_waits");
        for set in [&facts.purged, &facts.executed] {
            self.oracles.history.may_begin_after(set.clone());
        }
        self.source_told(node, &facts);
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
        let source = self.sources.history(link.history);
        let pumped = match link.pump(source, events) {
            Ok(pumped) => pumped,
            Err(text) if text.contains("has lost the end of its binlog") && source.lost => {
                self.probes.hit("lost_tail_noticed_in_the_file");
                return self.source_failed(node, life, epoch, &text);
            }
            Err(text) => return the_source_is_understood(&text),
        };
        self.probes.hit_if(pumped.full, "source_not_read");
        let skipped = pumped.known_before.is_some();
        self.probes.hit_if(skipped, "acknowledged_by_passing_over");
        let inside = link.in_parts() || link.inside() && host.rng.chance(100_000);
        self.acknowledge_soon(node, pumped.known_before, true);
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
                self.acknowledge_soon(node, before, false);
            }
            let history = self.hosts[node]
                .link
                .as_ref()
                .map_or(0, |link| link.history);
            self.oracles.history.given(&body, history);
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
        host.told = None;
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

    /// The source takes it soon that the store has all before `before`. `by_itself`: because it passes
    /// over what the request names.
    fn acknowledge_soon(&mut self, node: usize, before: Option<usize>, by_itself: bool) {
        let link = self.hosts[node].link.as_ref();
        if let (Some(before), Some(history)) = (before, link.map(|link| link.history)) {
            let us = self.source_way_us(node);
            let event = Event::SourceAck {
                history,
                before,
                by_itself,
            };
            self.after(us, event);
        }
    }

    pub(super) fn commit(&mut self) -> Result<(), Violation> {
        let mean = self.schedule.settings.commit_us;
        let pause = self.commits.range(mean / 10, 2 * mean);
        if self.healed_us.is_none() {
            self.after(pause, Event::Commit);
            let now_us = self.now_us;
            let source = self.sources.primary_mut();
            let up = source.up;
            if up && source.gives_up_waiting(now_us) {
                self.probes.hit("semi_sync_given_up");
                (0..self.hosts.len()).for_each(|node| self.read_soon(node));
            }
            if self.sources.primary().may_commit() {
                self.commit_now(None);
            } else {
                self.probes.hit_if(up, "clients_wait");
            }
        }
        Ok(())
    }

    pub(super) fn commit_now(&mut self, len: Option<usize>) {
        let source = self.sources.primary_mut();
        let ordinal = source.commit(&self.schedule.settings, len);
        let len = source.transactions()[ordinal].bytes.len() as u64;
        self.note(Note::Committed {
            transaction: ordinal as u64,
            len,
        });
        (0..self.hosts.len()).for_each(|node| self.read_soon(node));
    }

    pub(super) fn source_down(&mut self) {
        let source = self.sources.primary_mut();
        source.up = false;
        let number = source.number;
        self.note(Note::Source { up: false });
        for node in 0..self.hosts.len() {
            let link = self.hosts[node].link.as_ref();
            if link.is_some_and(|link| link.number == number) {
                self.break_link(node);
            }
        }
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
        if !self.sources.primary().up {
            self.sources.primary_mut().restart();
            self.note(Note::Source { up: true });
        }
        Ok(())
    }
}

/// The connection, if it is this one.
fn current(link: &mut Option<Link>, epoch: Epoch) -> Option<&mut Link> {
    link.as_mut().filter(|link| link.epoch == epoch)
}
