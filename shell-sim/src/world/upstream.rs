//! What happens on the source's side: another source takes over, the binlog is purged or loses its end,
//! versions change. And what the store must say of it.

use kingbus_core::node::catalog::{SourceDefinition, SourceFacts};
use kingbus_core::node::port::StoredFile;
use kingbus_core::node::status::Status;

use super::{Event, World};
use crate::oracles::{LACKS, PURGED, Told, Violation, a_refused_source_is_reported};
use crate::schedule::Upstream;
use crate::trace::Note;

/// The number of the source that an operator has named.
pub(super) fn source_number(definition: &SourceDefinition) -> u64 {
    definition
        .host
        .parse()
        .expect("sources go by their numbers")
}

impl World {
    pub(super) fn upstream(&mut self, what: Upstream, lasts_us: u64) -> Result<(), Violation> {
        match what {
            Upstream::Promote { lag, errant, dead } => self.promote(lag, errant, dead)?,
            Upstream::Return { source } => {
                self.sources.return_to(source);
                self.name_again()?;
            }
            Upstream::CatchUp => self.catch_up(),
            Upstream::LoseTail { transactions } => self.lose_tail(transactions as usize, lasts_us),
            Upstream::LoseFile => {
                let lost = self.sources.primary().in_last_file();
                self.lose_tail(lost, lasts_us);
            }
            Upstream::Purge { keep } => self.purge(keep as usize),
            Upstream::Upgrade => {
                if self.sources.primary().up {
                    self.source_down();
                    self.sources.primary_mut().upgrade();
                    self.after(lasts_us, Event::SourceUp);
                }
            }
            Upstream::Checksum => {
                if self.sources.primary().up {
                    self.sources.primary_mut().change_checksum();
                    (0..self.hosts.len()).for_each(|node| self.read_soon(node));
                }
            }
        }
        Ok(())
    }

    /// The source's machine dies, and so many of its last transactions are gone.
    fn lose_tail(&mut self, lost: usize, lasts_us: u64) {
        if self.sources.primary().up {
            self.source_down();
            let lost = lost.min(self.beyond_floor());
            self.sources.lose_tail(lost);
            self.after(lasts_us, Event::SourceUp);
        }
    }

    /// How many transactions a source may lack of those that the primary has.
    fn beyond_floor(&self) -> usize {
        let begin_after = self.schedule.settings.begin_after;
        let purged = self.oracles.history.purged();
        self.sources.beyond_floor(purged, begin_after)
    }

    /// A replica of the source takes over; the operator names it.
    fn promote(&mut self, lag: u64, errant: u64, dead: bool) -> Result<(), Violation> {
        let lag = (lag as usize).min(self.beyond_floor());
        if dead {
            self.source_down();
        }
        self.sources
            .promote(&self.schedule.settings, lag, errant as usize);
        let ahead = self
            .sources
            .primary()
            .lacks(self.oracles.history.executed());
        self.probes.hit("source_promoted");
        self.probes
            .hit_if(!ahead.is_empty(), "promoted_source_lags_behind_the_store");
        self.note(Note::Source { up: true });
        self.name_again()
    }

    /// The operator names the source at once, and again until it is taken.
    fn name_again(&mut self) -> Result<(), Violation> {
        self.name_source_again();
        self.name_source()
    }

    /// The source gets what it lacks of the store's.
    fn catch_up(&mut self) {
        if self.sources.catch_up(&self.oracles.history) {
            self.probes.hit("source_caught_up");
            (0..self.hosts.len()).for_each(|node| self.read_soon(node));
        }
    }

    /// Files are purged that no connection reads.
    fn purge(&mut self, keep: usize) {
        let history = self.sources.primary_history();
        let links = self.hosts.iter().filter_map(|host| host.link.as_ref());
        let reads = links.filter(|link| link.history == history && !link.broken);
        let used = reads.filter_map(|link| link.needs_file()).min();
        let source = self.sources.primary_mut();
        let purged = source.purged().count();
        source.purge(keep, used.unwrap_or(usize::MAX));
        let more = source.purged().count() > purged;
        let needed = source.purged().minus(self.oracles.history.executed());
        self.probes.hit_if(more, "source_purged");
        self.probes
            .hit_if(more && !needed.is_empty(), "source_purged_what_is_needed");
    }

    /// All faults are over. A source that cannot be followed any more is replaced by one that has
    /// everything, as the store says that it must.
    pub(super) fn settle_upstream(&mut self) {
        let executed = self.oracles.history.executed();
        if self.sources.cannot_be_followed(executed) {
            self.catch_up();
            self.sources.promote(&self.schedule.settings, 0, 0);
            self.probes.hit("source_replaced");
            self.name_source_again();
        }
        self.watch_upstream();
    }

    /// In the healed world the source follows the store like any replica, and is told of changes.
    pub(super) fn watch_upstream(&mut self) {
        let lacking = self
            .sources
            .primary()
            .lacks(self.oracles.history.executed());
        if self.healed_us.is_some() && !lacking.is_empty() {
            self.catch_up();
        }
    }

    /// An acknowledgement, or what the source takes for one, is there.
    pub(super) fn source_acknowledged(
        &mut self,
        history: usize,
        before: usize,
        by_itself: bool,
    ) -> Result<(), Violation> {
        let Some(source) = self.sources.present(history) else {
            return Ok(());
        };
        let known = source.semi_sync.acknowledged;
        if !source.up || !source.semi_sync.is_there() || before <= known {
            return Ok(());
        }
        let told = &source.transactions()[known..before];
        let to_itself = self.oracles.source_acknowledges(told, by_itself)?;
        self.probes
            .hit_if(to_itself, "source_acknowledged_to_itself");
        let files = source.files().len();
        let again = source.acknowledge(before);
        if source.files().len() > files {
            (0..self.hosts.len()).for_each(|node| self.read_soon(node));
        }
        self.probes.hit_if(again, "semi_sync_again");
        self.note(Note::Acknowledged {
            before: before as u64,
        });
        Ok(())
    }

    /// A source has said this of itself. A node is asked only for what it has said that it has.
    pub(super) fn source_told(&mut self, node: usize, facts: &SourceFacts) {
        let host = &mut self.hosts[node];
        let begun = !self.oracles.history.files.is_empty() && !host.executed.is_empty();
        host.told = begun.then(|| Told::new(&host.executed, facts));
    }

    /// A node that does not follow its source says why.
    pub(super) fn says_why(&mut self, node: usize, status: &Status) -> Result<(), Violation> {
        let error = status.source.error.as_deref().unwrap_or_default();
        let probes = &mut self.probes;
        probes.hit_if(error.contains(LACKS), "source_refused_for_what_it_lacks");
        probes.hit_if(error.contains(PURGED), "source_refused_for_what_it_purged");
        if self.hosts[node].said != error {
            let (node, why) = (status.node, error.to_owned());
            self.note(Note::SourceRefused { node, why });
            self.hosts[node as usize - 1].said = error.to_owned();
        }
        let stored = self.oracles.history.executed();
        match &self.hosts[node].told {
            Some(told) => a_refused_source_is_reported(status, told, stored),
            None => Ok(()),
        }
    }

    /// A dump begins behind a file of another source.
    pub(super) fn probe_switch(&mut self, stored: Option<&StoredFile>, history: usize) {
        let Some(stored) = stored.filter(|stored| !stored.of_source) else {
            return;
        };
        let files = self.sources.history(history).files();
        let behind = files.iter().any(|file| file.name <= stored.name);
        self.probes.hit("source_switched");
        self.probes
            .hit_if(behind, "source_switched_to_lower_file_numbers");
    }
}
