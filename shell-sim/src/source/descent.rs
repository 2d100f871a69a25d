//! How one history comes from another: a replica that is promoted, a source that lost its end, one
//! that gets what it lacks.

use kingbus_core::gtid::GtidSet;

use super::shapes::{Recipe, Shape};
use super::{Item, Source};
use crate::rng::Rng;
use crate::schedule::Settings;

/// What a replica has at the time it is promoted.
#[derive(Clone, Copy, Debug)]
pub struct Inheritance {
    /// It lacks so many of its source's last transactions.
    pub lag: usize,
    /// It has so many of its own.
    pub errant: usize,
}

impl Source {
    /// A replica of this source, with a binlog of its own: the same GTIDs, in other files and at other
    /// places, and so of other bytes. Its errant transactions lie somewhere before its end.
    pub fn replica(
        &self,
        seed: u64,
        number: u64,
        world: &Settings,
        inherits: Inheritance,
    ) -> Source {
        let rng = &mut Rng::new(seed, "promoted", number);
        let mut source = Source::empty(seed, number, world);
        // What it has it got as a replica, before anybody waited for it.
        source.semi_sync.given_up = true;
        source.hand.patch = self.hand.patch;
        source.hand.checksum = self.hand.checksum;
        // Its files begin at 1 as everybody's; or it is older than its source, and ahead of it.
        let ahead = 1 + self.files.len() as u64 + rng.below(9);
        source.first_number = *rng.pick(&[1, 1, ahead]);
        source.begin_file(true);
        let keep = self.transactions.len().saturating_sub(inherits.lag);
        let own_at = keep - rng.below(4).min(keep as u64) as usize;
        for (ordinal, transaction) in self.transactions[..keep].iter().enumerate() {
            if ordinal == own_at {
                source.errs(inherits.errant);
            }
            source.append(transaction.recipe);
            if rng.chance(world.rotate_ppm.max(20_000)) {
                source.rotate();
            }
        }
        if own_at == keep {
            source.errs(inherits.errant);
        }
        source.restart();
        source.semi_sync.all_are_told(&source.transactions);
        source
    }

    /// Transactions that nobody else has.
    fn errs(&mut self, count: usize) {
        for _ in 0..count {
            let gtid = self.next_gtid(false);
            self.append(Recipe {
                gtid,
                shape: Shape::Rows,
                len: 100,
                event_len: 100,
                server_id: self.hand.server_id,
            });
        }
    }

    /// The same source after a crash of its machine that it had not synced for: its last
    /// transactions are gone, and the files that began behind them. Their names and numbers will be
    /// given again.
    pub fn without_tail(&self, lost: usize, seed: u64, life: u64) -> Source {
        let purged = self
            .transactions
            .iter()
            .take_while(|t| t.file < self.files_from);
        let keep = self.transactions.len().saturating_sub(lost);
        let keep = keep.max(purged.count());
        let transactions = self.transactions[..keep].to_vec();
        let last_file = transactions
            .last()
            .map_or(0, |t| t.file)
            .max(self.files_from);
        let mut files = self.files[..=last_file].to_vec();
        let file = files.last_mut().expect("the first file stays");
        let gone = |item: &Item| matches!(item, Item::Transaction(ordinal) if *ordinal >= keep);
        if let Some(at) = file.items.iter().position(gone) {
            file.len = self.transactions[keep].start;
            file.items.truncate(at);
        }
        let mut executed = self.files[self.files_from].previous.clone();
        for transaction in &transactions {
            executed.add(transaction.gtid());
        }
        let mut semi_sync = self.semi_sync.clone();
        semi_sync.lost(&transactions);
        let mut source = Source {
            number: self.number,
            hand: self.hand,
            first_number: self.first_number,
            files,
            files_from: self.files_from,
            transactions,
            executed,
            purged: self.purged.clone(),
            last: [0; 2],
            rng: self.rng.clone(),
            shapes: Rng::new(seed, "shapes of another life", life),
            due: None,
            up: false,
            lost: self.lost || keep < self.transactions.len() || last_file + 1 < self.files.len(),
            semi_sync,
        };
        source.close_file();
        source
    }

    /// What a ROTATE or STOP at the end said is gone with the file that it named.
    fn close_file(&mut self) {
        let last = self.files.last_mut().expect("there is a file");
        if last.items.len() > 2
            && let Some(Item::Control(event)) = last.items.last()
        {
            last.len -= event.len() as u64;
            last.items.pop();
        }
    }

    /// It gets transactions from elsewhere, as a replica does; those that it has are passed over.
    pub fn catch_up(&mut self, recipes: impl Iterator<Item = Recipe>) -> usize {
        let mut count = 0;
        for recipe in recipes {
            if !self.executed.contains(&recipe.gtid) {
                self.append(recipe);
                count += 1;
            }
        }
        count
    }

    /// What it lacks of these.
    pub fn lacks(&self, executed: &GtidSet) -> GtidSet {
        executed.minus(&self.executed)
    }
}
