//! All sources that there are and were.
//!
//! A *history* is a source as long as it only grows. One that comes back without its last transactions
//! has another history from then on; the one before stays for comparing with.

use kingbus_core::gtid::GtidSet;

use super::Source;
use super::descent::Inheritance;
use super::shapes::Recipe;
use crate::oracles::OneHistory;
use crate::schedule::Settings;

/// Sources by history.
pub struct Sources {
    histories: Vec<Source>,
    /// The present history of each source.
    now: Vec<usize>,
    /// The source that clients write to, from 0.
    primary: usize,
    seed: u64,
}

impl Sources {
    /// One source with some history.
    pub fn new(seed: u64, world: &Settings) -> Sources {
        Sources {
            histories: vec![Source::new(seed, world)],
            now: vec![0],
            primary: 0,
            seed,
        }
    }

    /// The source that clients write to.
    pub fn primary(&self) -> &Source {
        &self.histories[self.now[self.primary]]
    }

    /// The same, to change it.
    pub fn primary_mut(&mut self) -> &mut Source {
        &mut self.histories[self.now[self.primary]]
    }

    /// The present history of the primary.
    pub fn primary_history(&self) -> usize {
        self.now[self.primary]
    }

    /// A history, past or present.
    pub fn history(&self, history: usize) -> &Source {
        &self.histories[history]
    }

    /// The same, to change it, if it is present.
    pub fn present(&mut self, history: usize) -> Option<&mut Source> {
        self.now
            .contains(&history)
            .then(|| &mut self.histories[history])
    }

    /// The present history of the source with this number.
    pub fn of_number(&self, number: u64) -> Option<usize> {
        self.now.get(number as usize - 1).copied()
    }

    /// How many sources there are.
    pub fn count(&self) -> usize {
        self.now.len()
    }

    /// A replica of the primary takes over.
    pub fn promote(&mut self, world: &Settings, lag: usize, errant: usize) {
        let number = self.now.len() as u64 + 1;
        let inherits = Inheritance { lag, errant };
        let source = self.primary().replica(self.seed, number, world, inherits);
        self.now.push(self.histories.len());
        self.histories.push(source);
        self.primary = number as usize - 1;
    }

    /// Clients go to this source, as it stands.
    pub fn return_to(&mut self, number: u64) {
        self.primary = (number.max(1) as usize - 1) % self.now.len();
        let source = self.primary_mut();
        if !source.up {
            source.restart();
        }
    }

    /// How these transactions are made, as far as any source has or had them.
    pub fn recipes(&self, of: &GtidSet) -> Vec<Recipe> {
        let all = self.histories.iter().flat_map(Source::transactions);
        let wanted = all.filter(|transaction| of.contains(&transaction.gtid()));
        wanted.map(|transaction| transaction.recipe).collect()
    }

    /// How many of the primary's transactions another source, or the same one come back, may lack: all but
    /// those that the store will never have.
    pub fn beyond_floor(&self, purged: &GtidSet, begin_after: u64) -> usize {
        let mut never = self.history(0).prefix(begin_after as usize);
        never.union(purged);
        let source = self.primary();
        source
            .transactions()
            .len()
            .saturating_sub(source.upto(&never))
    }

    /// The primary gets what it lacks of the store's, as a replica of the store would that was set up with
    /// what the store never had. Whether that was something.
    pub fn catch_up(&mut self, history: &OneHistory) -> bool {
        let mut recipes = self.recipes(history.purged());
        recipes.extend(history.transactions().iter().map(|stored| stored.recipe));
        let source = self.primary_mut();
        source.up && source.catch_up(recipes.into_iter()) > 0
    }

    /// Whether a store that has this can never follow the primary again.
    pub fn cannot_be_followed(&self, executed: &GtidSet) -> bool {
        let source = self.primary();
        source.lost || !source.purged().minus(executed).is_empty()
    }

    /// The primary, which is down, will come back without its last transactions.
    pub fn lose_tail(&mut self, lost: usize) {
        let life = self.histories.len() as u64;
        let source = self.primary().without_tail(lost, self.seed, life);
        self.now[self.primary] = self.histories.len();
        self.histories.push(source);
    }
}
