//! What happens on the source's side: it dies and comes back, another one takes over, binlogs are purged
//! or lose their end.

use kingbus_sim::schedule::{Schedule, Upstream, What};
use kingbus_sim::trace::Note;
use madsim::runtime::Handle;

use crate::address::source_name;
use crate::faults::Over;
use crate::world::World;

/// Sources that there may be in a run, one that takes over at its end included.
pub fn sources_max(schedule: &Schedule) -> u64 {
    let promotes = |what: &What| matches!(what, What::Upstream(Upstream::Promote { .. }));
    let faults = schedule.faults.iter();
    2 + faults.filter(|fault| promotes(&fault.what)).count() as u64
}

impl World {
    /// A fault on the source's side begins. Some: what it undoes when it is over.
    pub fn upstream(&mut self, what: Upstream) -> Option<Over> {
        match what {
            Upstream::Promote { lag, errant, dead } => {
                self.promote(lag as usize, errant as usize, dead);
                None
            }
            Upstream::Return { source } => {
                let up: Vec<bool> = (1..=self.sources.count() as u64)
                    .map(|number| self.is_up(number))
                    .collect();
                self.sources.return_to(source);
                let number = self.sources.primary().number;
                if !up[number as usize - 1] {
                    Handle::current().restart(source_name(number));
                }
                self.name_again();
                None
            }
            Upstream::CatchUp => {
                self.catch_up();
                None
            }
            Upstream::LoseTail { transactions } => self.lose_tail(transactions as usize),
            Upstream::LoseFile => self.lose_tail(self.sources.primary().in_last_file()),
            Upstream::Purge { keep } => {
                self.purge(keep as usize);
                None
            }
            Upstream::Upgrade => self.source_down().then(|| {
                self.sources.primary_mut().upgrade();
                Over::SourceDown
            }),
            Upstream::Checksum => {
                if self.sources.primary().up {
                    self.sources.primary_mut().change_checksum();
                    self.source_news.notify_waiters();
                }
                None
            }
        }
    }

    fn is_up(&self, number: u64) -> bool {
        let history = self.sources.of_number(number);
        history.is_some_and(|history| self.sources.history(history).up)
    }

    /// The process of the source that clients write to dies. False: it was down.
    pub fn source_down(&mut self) -> bool {
        let (history, source) = (self.sources.primary_history(), self.sources.primary_mut());
        if !source.up {
            return false;
        }
        source.up = false;
        let name = source_name(source.number);
        self.dumps.retain(|_, (read, _)| *read != history);
        self.note(Note::Source { up: false });
        Handle::current().kill(name);
        true
    }

    /// It comes back, if it is down.
    pub fn source_up(&mut self) {
        let source = self.sources.primary_mut();
        if source.up {
            return;
        }
        source.restart();
        let name = source_name(source.number);
        self.note(Note::Source { up: true });
        Handle::current().restart(name);
    }

    /// The source's machine dies, and so many of its last transactions are gone.
    fn lose_tail(&mut self, lost: usize) -> Option<Over> {
        self.source_down().then(|| {
            self.sources.lose_tail(lost.min(self.beyond_floor()));
            Over::SourceDown
        })
    }

    /// A replica of the source takes over; the operator names it.
    fn promote(&mut self, lag: usize, errant: usize, dead: bool) {
        let lag = lag.min(self.beyond_floor());
        if dead {
            self.source_down();
        }
        self.sources.promote(&self.schedule.settings, lag, errant);
        self.note(Note::Source { up: true });
        self.name_again();
    }

    /// How many transactions a source may lack of those that the primary has.
    fn beyond_floor(&self) -> usize {
        let begin_after = self.schedule.settings.begin_after;
        let purged = self.oracles.history.purged();
        self.sources.beyond_floor(purged, begin_after)
    }

    /// The source gets what it lacks of the store's.
    fn catch_up(&mut self) {
        if self.sources.catch_up(&self.oracles.history) {
            self.source_news.notify_waiters();
        }
    }

    /// Files are purged that no connection reads.
    fn purge(&mut self, keep: usize) {
        let history = self.sources.primary_history();
        let dumps = self.dumps.values().filter(|(read, _)| *read == history);
        let used = dumps.map(|(_, file)| *file).min();
        let source = self.sources.primary_mut();
        source.purge(keep, used.unwrap_or(usize::MAX));
    }

    /// All faults are over. A source that cannot be followed any more is replaced by one that has
    /// everything, as the store says that it must.
    pub fn settle_upstream(&mut self) {
        let executed = self.oracles.history.executed();
        if self.sources.cannot_be_followed(executed) {
            self.catch_up();
            self.promote(0, 0, false);
        }
        self.watch_upstream();
    }

    /// In the healed world the source follows the store like any replica.
    pub fn watch_upstream(&mut self) {
        let executed = self.oracles.history.executed();
        let lacking = self.sources.primary().lacks(executed);
        if self.healed_us.is_some() && !lacking.is_empty() {
            self.catch_up();
        }
    }
}
