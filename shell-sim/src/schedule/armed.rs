//! Crashes of a node that wait for their moment.

use super::{Fault, Moment, What};

/// They are kept by their numbers in the schedule.
#[derive(Debug, Default)]
pub struct Armed(Vec<usize>);

impl Armed {
    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more waits.
    pub fn arm(&mut self, fault: usize) {
        self.0.push(fault);
    }

    /// The first one that waits for this moment.
    pub fn take(&mut self, faults: &[Fault], moment: Moment) -> Option<usize> {
        let waits = |fault: &usize| is_of(&faults[*fault], moment);
        let at = self.0.iter().position(waits)?;
        Some(self.0.remove(at))
    }

    /// The node dies: what waited for its moment waits no more, unless for the next start.
    pub fn died(&mut self, faults: &[Fault]) {
        self.0
            .retain(|fault| is_of(&faults[*fault], Moment::Starting));
    }

    /// Nothing waits any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

fn is_of(fault: &Fault, due: Moment) -> bool {
    matches!(fault.what, What::Crash { moment, .. } if moment == due)
}
