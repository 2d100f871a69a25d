//! Sets of GTIDs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::intervals::{Interval, Intervals};
use super::{GNO_MAX, Gtid, Tsid};

/// A set of GTIDs: for each UUID and tag, intervals of numbers.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GtidSet {
    /// No value is empty.
    axes: BTreeMap<Tsid, Intervals>,
}

impl GtidSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.axes.is_empty()
    }

    /// How many GTIDs are in it; at most `u64::MAX` is said.
    pub fn count(&self) -> u64 {
        let counts = self.axes.values().map(Intervals::count);
        counts.fold(0, u64::saturating_add)
    }

    /// How many intervals it is made of: what its size in memory and on the wire goes by.
    pub fn intervals(&self) -> usize {
        self.axes.values().map(|i| i.as_slice().len()).sum()
    }

    /// The UUIDs and tags it has numbers of, sorted.
    pub fn tsids(&self) -> impl Iterator<Item = Tsid> + '_ {
        self.axes.keys().copied()
    }

    /// Its intervals, sorted: the axis, the first number and the last.
    pub fn ranges(&self) -> impl Iterator<Item = (Tsid, u64, u64)> + '_ {
        self.axes.iter().flat_map(|(&tsid, intervals)| {
            let list = intervals.as_slice().iter();
            list.map(move |i| (tsid, i.first, i.last))
        })
    }

    /// Whether a GTID is in it.
    pub fn contains(&self, gtid: &Gtid) -> bool {
        let intervals = self.axes.get(&gtid.tsid);
        intervals.is_some_and(|i| i.contains(gtid.gno))
    }

    /// Whether all of `other` is in it.
    pub fn contains_set(&self, other: &GtidSet) -> bool {
        other.axes.iter().all(|(tsid, theirs)| {
            let ours = self.axes.get(tsid);
            ours.is_some_and(|i| i.contains_all(theirs))
        })
    }

    /// Whether any GTID is in both.
    pub fn intersects(&self, other: &GtidSet) -> bool {
        other.axes.iter().any(|(tsid, theirs)| {
            let ours = self.axes.get(tsid);
            ours.is_some_and(|i| i.intersects(theirs))
        })
    }

    /// Adds one; says whether it is new.
    pub fn add(&mut self, gtid: Gtid) -> bool {
        let Gtid { tsid, gno } = gtid;
        assert!((1..=GNO_MAX).contains(&gno), "no GTID has this number");
        let intervals = self.axes.entry(tsid).or_default();
        if intervals.contains(gno) {
            return false;
        }
        intervals.add(gno, gno);
        true
    }

    /// Adds `first..=last`; nothing when `last < first`.
    pub fn add_range(&mut self, tsid: Tsid, first: u64, last: u64) {
        if last < first {
            return;
        }
        assert!(1 <= first && last <= GNO_MAX, "no GTIDs have these numbers");
        self.axes.entry(tsid).or_default().add(first, last);
    }

    /// Adds all of `other`.
    pub fn union(&mut self, other: &GtidSet) {
        for (&tsid, theirs) in &other.axes {
            match self.axes.entry(tsid) {
                Entry::Occupied(mut ours) => ours.get_mut().union(theirs),
                Entry::Vacant(place) => {
                    place.insert(theirs.clone());
                }
            }
        }
    }

    /// Takes away all that is in `other`.
    pub fn subtract(&mut self, other: &GtidSet) {
        for (&tsid, theirs) in &other.axes {
            if let Entry::Occupied(mut ours) = self.axes.entry(tsid) {
                let left = ours.get().minus(theirs);
                if left.is_empty() {
                    ours.remove();
                } else {
                    ours.insert(left);
                }
            }
        }
    }

    /// What is in it but not in `other`.
    pub fn minus(&self, other: &GtidSet) -> GtidSet {
        let axes = self.axes.iter().map(|(&tsid, ours)| {
            let left = match other.axes.get(&tsid) {
                Some(theirs) => ours.minus(theirs),
                None => ours.clone(),
            };
            (tsid, left)
        });
        GtidSet::of_not_empty(axes)
    }

    /// What is in both.
    pub fn intersection(&self, other: &GtidSet) -> GtidSet {
        let both = self.axes.iter().filter_map(|(&tsid, ours)| {
            let theirs = other.axes.get(&tsid)?;
            Some((tsid, ours.intersection(theirs)))
        });
        GtidSet::of_not_empty(both)
    }

    fn of_not_empty(axes: impl Iterator<Item = (Tsid, Intervals)>) -> GtidSet {
        GtidSet {
            axes: axes.filter(|(_, i)| !i.is_empty()).collect(),
        }
    }

    /// The axes with their intervals.
    pub(super) fn axes(&self) -> impl ExactSizeIterator<Item = (&Tsid, &[Interval])> {
        self.axes.iter().map(|(tsid, i)| (tsid, i.as_slice()))
    }
}

/// Gathers intervals in the order in which they are read, and sorts them once: foreign input in
/// an unlucky order costs no more than in the best.
#[derive(Default)]
pub(super) struct Gathering {
    axes: BTreeMap<Tsid, Vec<Interval>>,
}

impl Gathering {
    pub(super) fn push(&mut self, tsid: Tsid, interval: Interval) {
        self.axes.entry(tsid).or_default().push(interval);
    }

    pub(super) fn finish(self) -> GtidSet {
        let axes = self.axes.into_iter();
        GtidSet::of_not_empty(axes.map(|(tsid, list)| (tsid, Intervals::from_unsorted(list))))
    }
}

impl Extend<Gtid> for GtidSet {
    fn extend<T: IntoIterator<Item = Gtid>>(&mut self, gtids: T) {
        for gtid in gtids {
            self.add(gtid);
        }
    }
}

impl FromIterator<Gtid> for GtidSet {
    fn from_iter<T: IntoIterator<Item = Gtid>>(gtids: T) -> Self {
        let mut set = GtidSet::new();
        set.extend(gtids);
        set
    }
}
