//! Sets of GTIDs as there are in practice: a few sources, one of which goes on; holes where replicas run
//! transactions in parallel.

use std::hint::black_box;

use kingbus_core::gtid::{Gtid, GtidSet, Tsid, Uuid};

use crate::count;

/// Sources that a store has seen.
pub(crate) const SOURCES: u8 = 8;
/// Holes in the set of a replica with parallel appliers.
const HOLES: u64 = 64;
const TIMES: u64 = 1_000;

pub(crate) fn tsid(source: u8) -> Tsid {
    Tsid::untagged(Uuid([source; 16]))
}

/// What a store has whose last source was at `gno`.
pub(crate) fn executed(gno: u64) -> GtidSet {
    let mut set = GtidSet::new();
    for source in 1..SOURCES {
        set.add_range(tsid(source), 1, 1_000_000 * u64::from(source));
    }
    set.add_range(tsid(SOURCES), 1, gno);
    set
}

/// What a replica has that is at about the same place.
fn of_replica(gno: u64) -> GtidSet {
    let mut set = executed(gno - 2 * HOLES);
    for hole in 0..HOLES {
        set.add(gtid(gno - 2 * HOLES + 2 * (hole + 1)));
    }
    set
}

fn gtid(gno: u64) -> Gtid {
    Gtid {
        tsid: tsid(SOURCES),
        gno,
    }
}

pub(crate) fn cases() {
    let (store, replica) = (executed(5_000_000), of_replica(5_000_000));
    let mut growing = store.clone();
    count("GTID set: the next one added", TIMES, || {
        for next in 1..=TIMES {
            assert!(growing.add(gtid(5_000_000 + next)));
        }
    });
    count("GTID set: contains one", TIMES, || {
        for hole in 0..TIMES {
            black_box(replica.contains(&gtid(5_000_000 - hole)));
        }
    });
    let of_chunk = {
        let mut set = GtidSet::new();
        set.add_range(tsid(SOURCES), 5_000_001, 5_002_000);
        set
    };
    let once = |name: &str, work: &mut dyn FnMut()| {
        count(name, TIMES, || (0..TIMES).for_each(|_| work()));
    };
    once("GTID set: meets that of a chunk", &mut || {
        assert!(!store.intersects(black_box(&of_chunk)));
    });
    once("GTID set: contains that of a replica", &mut || {
        assert!(store.contains_set(black_box(&replica)));
    });
    once("GTID set: minus that of a replica", &mut || {
        assert_eq!(store.minus(black_box(&replica)).count(), HOLES);
    });
    once("GTID set: union with that of a replica", &mut || {
        let mut union = of_chunk.clone();
        union.union(black_box(&replica));
        black_box(union);
    });
    let encoded = replica.encode();
    once("GTID set: that of a replica encoded", &mut || {
        black_box(black_box(&replica).encode());
    });
    once("GTID set: that of a replica decoded", &mut || {
        black_box(GtidSet::decode(black_box(&encoded))).expect("a set");
    });
}
