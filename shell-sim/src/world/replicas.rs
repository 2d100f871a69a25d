//! Nodes and replicas.

use bytes::{Bytes, BytesMut};
use kingbus_core::node::config::REPLICA_CREDIT_BYTES;
use kingbus_core::node::port::{Input, ReplicaInput};
use kingbus_core::types::{Index, ReplicaId};

use super::{Event, World};
use crate::oracles::{ReplicaStream, Violation, credit_is_kept};
use crate::plant::Plant;
use crate::replica::Conn;
use crate::trace::Note;

/// A node learns after so long that a connection is gone of which nobody told it.
const FORGOTTEN_US: u64 = 8_000_000;

/// Pause before a replica tries again.
const RETRY_US: u64 = 60_000;

impl World {
    pub(super) fn replica_connect(&mut self, replica: usize) -> Result<(), Violation> {
        let nodes = self.hosts.len();
        let model = &mut self.replicas[replica];
        if model.conn.is_some() {
            return Ok(());
        }
        let node = model.next_node % nodes;
        let host = &mut self.hosts[node];
        if host.node.is_none() || !host.serves || host.paused > 0 {
            let alive = host.node.is_some() && host.paused == 0;
            self.probes.hit_if(alive, "replica_finds_no_service");
            model.next_node = node + 1;
            self.after(RETRY_US, Event::ReplicaConnect { replica });
            return Ok(());
        }
        host.last_replica += 1;
        let id = ReplicaId(host.last_replica);
        host.replicas.insert(id, replica);
        model.conns += 1;
        let conn = model.conns;
        model.conn = Some(Conn {
            number: conn,
            node,
            life: host.life,
            id,
            stream: ReplicaStream::new(!model.have.executed.is_empty(), model.checksum()),
            heard_us: self.now_us,
            arrives_us: self.now_us,
            outstanding: 0,
        });
        let us = 3 * model.way_us(&self.schedule.settings);
        self.after(us, Event::ReplicaDump { replica, conn });
        Ok(())
    }

    fn conn(&mut self, replica: usize, number: u64) -> Option<&mut Conn> {
        let conn = self.replicas[replica].conn.as_mut();
        conn.filter(|conn| conn.number == number)
    }

    pub(super) fn replica_dump(&mut self, replica: usize, conn: u64) -> Result<(), Violation> {
        let Some(conn) = self.conn(replica, conn) else {
            return Ok(());
        };
        let (node, life, id) = (conn.node, conn.life, conn.id);
        let request = self.replicas[replica].request(&self.schedule.settings);
        let (number, at) = (self.replicas[replica].number, node as u64 + 1);
        let model = &self.replicas[replica];
        self.probes.hit_if(model.conns > 1, "replica_resumed");
        let own = model.have.executed.contains(&model.own());
        self.probes
            .hit_if(own, "replica_with_transactions_of_its_own");
        let learns = self.oracles.members.is_learner(node);
        self.probes.hit_if(learns, "learner_serves");
        self.note(Note::ReplicaDump {
            replica: number,
            node: at,
        });
        self.input(
            node,
            life,
            Input::Replica(ReplicaInput::Dump {
                replica: id,
                request,
            }),
        )
    }

    /// The connection of a node's replica, as the replica knows it.
    fn conn_of(&mut self, node: usize, id: ReplicaId) -> Option<(usize, &mut Conn)> {
        let replica = *self.hosts[node].replicas.get(&id)?;
        let life = self.hosts[node].life;
        let conn = self.replicas[replica].conn.as_mut();
        let conn = conn.filter(|conn| conn.node == node && conn.id == id && conn.life == life)?;
        Some((replica, conn))
    }

    pub(super) fn send_to_replica(
        &mut self,
        node: usize,
        _life: u64,
        id: ReplicaId,
        head: Bytes,
        body: Option<Bytes>,
    ) -> Result<(), Violation> {
        let now_us = self.now_us;
        let bytes = match body {
            None => head,
            Some(body) if head.is_empty() => body,
            Some(body) => {
                let mut both = BytesMut::from(&head[..]);
                both.extend_from_slice(&body);
                both.freeze()
            }
        };
        let Some((replica, _)) = self.conn_of(node, id) else {
            return Ok(());
        };
        let skip = self.plant == Some(Plant::SkippedTransaction)
            && self.replicas[replica].rng.chance(20_000);
        let us = self.replicas[replica].way_us(&self.schedule.settings);
        let conn = self.replicas[replica].conn.as_mut().expect("it was there");
        let len = bytes.len() as u64;
        conn.outstanding += len;
        conn.arrives_us = conn.arrives_us.max(now_us + us);
        let (at, conn_number, outstanding) = (conn.arrives_us, conn.number, conn.outstanding);
        credit_is_kept(node, outstanding)?;
        let used = outstanding >= REPLICA_CREDIT_BYTES;
        self.probes.hit_if(used, "replica_credit_used_up");
        let crc = crate::trace::mark(&bytes);
        self.note(Note::ReplicaSent {
            replica: replica as u64 + 1,
            len,
            crc,
        });
        let bytes = if skip { Bytes::new() } else { bytes };
        self.at(
            at,
            Event::ReplicaBytes {
                replica,
                conn: conn_number,
                bytes,
            },
        );
        // Bytes leave for the socket as the replica reads.
        let life = self.hosts[node].life;
        let drain_us = self.replicas[replica].drain_us(&self.schedule.settings);
        self.at(
            at + drain_us,
            Event::Drained {
                node,
                life,
                id,
                bytes: len,
            },
        );
        Ok(())
    }

    pub(super) fn drained(
        &mut self,
        node: usize,
        life: u64,
        id: ReplicaId,
        bytes: u64,
    ) -> Result<(), Violation> {
        if let Some((_, conn)) = self.conn_of(node, id) {
            conn.outstanding = conn.outstanding.saturating_sub(bytes);
        }
        self.input(
            node,
            life,
            Input::Replica(ReplicaInput::Drained { replica: id, bytes }),
        )
    }

    pub(super) fn replica_bytes(
        &mut self,
        replica: usize,
        conn: u64,
        bytes: Bytes,
    ) -> Result<(), Violation> {
        let now_us = self.now_us;
        let model = &mut self.replicas[replica];
        let Some(conn) = model.conn.as_mut().filter(|c| c.number == conn) else {
            return Ok(());
        };
        conn.heard_us = now_us;
        let mut got = Vec::new();
        let fed = conn.stream.feed(
            &bytes,
            &self.oracles.history,
            &mut model.have,
            &mut |transaction| got.push(transaction),
        );
        let node = conn.node + 1;
        let inside = conn.stream.inside();
        for transaction in got {
            self.oracles.replica_got(replica, transaction)?;
            let (replica, transaction) = (replica as u64 + 1, transaction as u64);
            self.note(Note::ReplicaGot {
                replica,
                transaction,
            });
        }
        if let Err(mut violation) = fed {
            violation.text = format!("replica {} at node {node}: {}", replica + 1, violation.text);
            return Err(violation);
        }
        if inside {
            self.strike_replica_inside(replica)?;
        }
        Ok(())
    }

    /// A node refuses a replica, which is then set up from the source.
    pub(super) fn refuse_replica(
        &mut self,
        node: usize,
        id: ReplicaId,
        text: &str,
    ) -> Result<(), Violation> {
        if text.contains("same server_uuid") {
            self.probes.hit("replica_came_again");
            return self.end_replica(node, id, "came again");
        }
        let Some((replica, _)) = self.conn_of(node, id) else {
            return Ok(());
        };
        let executed = &self.replicas[replica].have.executed;
        let purged = self.oracles.refuses(node, executed, text)?;
        let by_a_purge = self.oracles.purges.first(node) > Index(1);
        self.probes.hit("replica_refused");
        self.probes.hit_if(by_a_purge, "replica_refused_by_a_purge");
        self.replicas[replica].set_up(self.sources.primary(), &purged);
        self.end_replica(node, id, "refused")
    }

    /// The node ends a connection, behind what it sent.
    pub(super) fn end_replica(
        &mut self,
        node: usize,
        id: ReplicaId,
        why: &'static str,
    ) -> Result<(), Violation> {
        if let Some((replica, conn)) = self.conn_of(node, id) {
            let (at, conn) = (conn.arrives_us + 1, conn.number);
            self.at(
                at.max(self.now_us + 1),
                Event::ReplicaEnd { replica, conn, why },
            );
        }
        self.hosts[node].replicas.remove(&id);
        Ok(())
    }

    /// All connections of a node that died.
    pub(super) fn end_replicas_of(&mut self, node: usize) {
        let replicas: Vec<usize> = std::mem::take(&mut self.hosts[node].replicas)
            .into_values()
            .collect();
        for replica in replicas {
            let way_us = self.replicas[replica].way_us(&self.schedule.settings);
            let conn = self.replicas[replica]
                .conn
                .as_ref()
                .filter(|conn| conn.node == node);
            if let Some(conn) = conn.map(|conn| conn.number) {
                self.after(
                    way_us,
                    Event::ReplicaEnd {
                        replica,
                        conn,
                        why: "the node is gone",
                    },
                );
            }
        }
    }

    /// The replica's end of a connection is gone.
    pub(super) fn replica_end(
        &mut self,
        replica: usize,
        conn: u64,
        why: &'static str,
    ) -> Result<(), Violation> {
        let Some(found) = self.conn(replica, conn) else {
            return Ok(());
        };
        let (node, life, id) = (found.node, found.life, found.id);
        let inside = found.stream.inside();
        self.probes
            .hit_if(inside, "replica_left_inside_a_transaction");
        let model = &mut self.replicas[replica];
        model.conn = None;
        model.next_node = node + 1;
        self.note(Note::ReplicaLost {
            replica: replica as u64 + 1,
            node: node as u64 + 1,
            why,
        });
        let us = self.replicas[replica].way_us(&self.schedule.settings);
        self.after(us, Event::ReplicaGone { node, life, id });
        self.after(RETRY_US, Event::ReplicaConnect { replica });
        Ok(())
    }

    /// A replica's connection is gone, and the node hears of it only much later. The replica comes
    /// again to the same node.
    pub(super) fn lose_replica(&mut self, number: u64) {
        let Some(replica) = self.replicas.iter().position(|r| r.number == number) else {
            return;
        };
        let Some(Conn { node, life, id, .. }) = self.replicas[replica].conn.take() else {
            return;
        };
        self.replicas[replica].next_node = node;
        self.note(Note::ReplicaLost {
            replica: number,
            node: node as u64 + 1,
            why: "nobody told the node",
        });
        self.after(FORGOTTEN_US, Event::ReplicaGone { node, life, id });
        self.after(RETRY_US, Event::ReplicaConnect { replica });
    }

    pub(super) fn replica_gone(
        &mut self,
        node: usize,
        life: u64,
        id: ReplicaId,
    ) -> Result<(), Violation> {
        if self.hosts[node].life == life {
            self.hosts[node].replicas.remove(&id);
        }
        self.input(
            node,
            life,
            Input::Replica(ReplicaInput::Closed { replica: id }),
        )
    }

    /// A fault that waits for the middle of a transaction strikes.
    fn strike_replica_inside(&mut self, replica: usize) -> Result<(), Violation> {
        if self.armed_replicas.remove(&replica) {
            let conn = self.replicas[replica]
                .conn
                .as_ref()
                .map_or(0, |conn| conn.number);
            return self.replica_end(replica, conn, "cut inside of a transaction");
        }
        Ok(())
    }

    /// Connections from which nothing came for too long end.
    pub(super) fn end_silent_replicas(&mut self) -> Result<(), Violation> {
        let longest_us = self.schedule.settings.silence_ms_max * 1_000;
        let heartbeats = self.schedule.settings.heartbeat_ms > 0;
        for replica in 0..self.replicas.len() {
            let Some(conn) = &self.replicas[replica].conn else {
                continue;
            };
            let silent = conn.heard_us + longest_us < self.now_us;
            let dead = !self.hosts[conn.node].is(conn.life);
            let number = conn.number;
            if silent && (heartbeats || dead || self.healed_us.is_none()) {
                self.probes.hit("replica_heard_nothing");
                self.replica_end(replica, number, "heard nothing")?;
            }
        }
        Ok(())
    }
}
