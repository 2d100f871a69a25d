//! The search for the place up to which a replica has everything. The disk searches, in one go: a question
//! for each step would be a way between threads and back for each.

use super::index::Checkpoint;
use crate::gtid::GtidSet;
use crate::planted::{Bug, planted};
use crate::types::Index;

/// The last checkpoint of the entries `from..to` whose executed set lies in `has`. Executed sets only grow
/// with the log, so all checkpoints before it lie in `has` too, and it takes about as many steps as the
/// number of entries has bits.
///
/// `at_or_before` gives the last checkpoint at or before an entry, whether the search wants it or not.
pub fn last_within<E>(
    has: &GtidSet,
    from: Index,
    to: Index,
    mut at_or_before: impl FnMut(Index) -> Result<Option<Box<Checkpoint>>, E>,
) -> Result<Option<Box<Checkpoint>>, E> {
    let (mut low, mut high) = (from.0, to.0);
    let mut best = None;
    while low < high {
        let middle = low.midpoint(high);
        let found = at_or_before(Index(middle))?;
        match found.filter(|found| found.applied.index.0 >= low) {
            None => low = middle + 1,
            Some(found) if has.contains_set(&found.applied.executed) => {
                low = middle + 1;
                best = Some(found);
            }
            Some(found) => {
                high = found.applied.index.0;
                if planted(Bug::SearchOneCheckpointTooFar) {
                    best = Some(found);
                }
            }
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::gtid::{Gtid, Tsid, Uuid};
    use crate::node::applied::Applied;
    use crate::types::SegmentId;

    type Checkpoints = BTreeMap<Index, Box<Checkpoint>>;

    fn gtid((source, gno): (u8, u64)) -> Gtid {
        let tsid = Tsid::untagged(Uuid([source; 16]));
        Gtid { tsid, gno }
    }

    fn set(gtids: &[(u8, u64)]) -> GtidSet {
        let mut set = GtidSet::new();
        gtids.iter().for_each(|named| {
            set.add(gtid(*named));
        });
        set
    }

    /// A log: what each entry brings, and whether there is a checkpoint after it.
    fn checkpoints(log: &[(Vec<(u8, u64)>, bool)]) -> Checkpoints {
        let mut executed = GtidSet::new();
        let mut checkpoints = Checkpoints::new();
        for (index, (gtids, checkpoint)) in (1..).map(Index).zip(log) {
            executed.union(&set(gtids));
            if *checkpoint {
                let applied = Applied {
                    index,
                    executed: executed.clone(),
                    ..Applied::default()
                };
                let checkpoint = Checkpoint {
                    applied,
                    segment: SegmentId(1),
                    offset: 0,
                    terms: Vec::new(),
                };
                checkpoints.insert(index, Box::new(checkpoint));
            }
        }
        checkpoints
    }

    /// Where the search ends, and how many steps it takes.
    fn searched(
        checkpoints: &Checkpoints,
        has: &GtidSet,
        from: Index,
        to: Index,
    ) -> (Option<Index>, u32) {
        let mut steps = 0;
        let found = last_within(has, from, to, |at| {
            steps += 1;
            let found = checkpoints.range(..=at).next_back();
            Ok::<_, Infallible>(found.map(|(_, found)| found.clone()))
        });
        let Ok(found) = found;
        (found.map(|found| found.applied.index), steps)
    }

    fn walked(checkpoints: &Checkpoints, has: &GtidSet, from: Index, to: Index) -> Option<Index> {
        let inside = checkpoints.range(from..to.max(from));
        let has = inside.filter(|(_, found)| has.contains_set(&found.applied.executed));
        has.map(|(index, _)| *index).next_back()
    }

    /// An entry brings some transactions of three sources, in any order, and has a checkpoint or not.
    fn log() -> impl Strategy<Value = Vec<(Vec<(u8, u64)>, bool)>> {
        let gtids = prop::collection::vec((1u8..4, 1u64..60), 0..4);
        prop::collection::vec((gtids, any::<bool>()), 0..80)
    }

    proptest! {
        #[test]
        fn search_ends_where_a_walk_over_all_checkpoints_does(
            log in log(),
            upto in 0usize..90,
            holes in prop::collection::vec((1u8..4, 1u64..60), 0..3),
            foreign in prop::collection::vec((7u8..9, 1u64..9), 0..3),
            (from, to) in (0u64..90, 0u64..90),
        ) {
            let checkpoints = checkpoints(&log);
            // A replica has what comes first, but for some holes, and transactions of its own.
            let brought = log.iter().take(upto).flat_map(|(gtids, _)| gtids.clone());
            let kept: Vec<(u8, u64)> = brought.filter(|gtid| !holes.contains(gtid)).collect();
            let mut has = set(&kept);
            has.union(&set(&foreign));
            let (from, to) = (Index(from), Index(to));
            let (found, steps) = searched(&checkpoints, &has, from, to);
            prop_assert_eq!(found, walked(&checkpoints, &has, from, to));
            prop_assert!(steps <= u64::BITS - to.0.saturating_sub(from.0).leading_zeros());
        }

        #[test]
        fn what_was_sent_counts_like_what_the_replica_has(
            log in log(),
            holes in prop::collection::vec((1u8..4, 1u64..60), 0..6),
            place in 0usize..80,
        ) {
            let checkpoints = checkpoints(&log);
            let all = |entries: &[(Vec<(u8, u64)>, bool)]| -> GtidSet {
                let gtids: Vec<_> = entries.iter().flat_map(|(gtids, _)| gtids.clone()).collect();
                set(&gtids)
            };
            let place = place.min(log.len());
            let replica = all(&log).minus(&set(&holes));
            let before = all(&log[..place]);
            let mut has = replica.clone();
            has.union(&before);
            let (from, to) = (Index(place as u64 + 1), Index(log.len() as u64 + 1));
            let (found, _) = searched(&checkpoints, &has, from, to);
            // Beyond the place, it is the last one up to which only comes what the replica had.
            let ahead = checkpoints.range(from..to);
            let mut only_had = ahead.filter(|(_, checkpoint)| {
                let comes = checkpoint.applied.executed.minus(&before);
                replica.contains_set(&comes)
            });
            prop_assert_eq!(found, only_had.next_back().map(|(index, _)| *index));
        }
    }
}
