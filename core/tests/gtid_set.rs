//! `GtidSet` against the simplest thing that could be right: a set of single GTIDs.

use std::collections::BTreeSet;

use kingbus_core::gtid::{Gtid, GtidSet, Tag, Tsid, Uuid};
use proptest::collection::vec;
use proptest::prelude::*;

type Model = BTreeSet<Gtid>;

/// Few axes and small numbers, so that all that can touch does.
fn tsid() -> impl Strategy<Value = Tsid> {
    (0u8..2, 0usize..3).prop_map(|(uuid, tag)| Tsid {
        uuid: Uuid([uuid; 16]),
        tag: Tag::new([&b""[..], b"a", b"tag_2"][tag]).unwrap(),
    })
}

fn range() -> impl Strategy<Value = (Tsid, u64, u64)> {
    (tsid(), 1u64..60, 0u64..8).prop_map(|(tsid, first, more)| (tsid, first, first + more))
}

fn both() -> impl Strategy<Value = (GtidSet, Model)> {
    vec(range(), 0..24).prop_map(|ranges| {
        let mut set = GtidSet::new();
        let mut model = Model::new();
        for (tsid, first, last) in ranges {
            set.add_range(tsid, first, last);
            model.extend((first..=last).map(|gno| Gtid { tsid, gno }));
        }
        (set, model)
    })
}

fn singles(set: &GtidSet) -> Model {
    set.ranges()
        .flat_map(|(tsid, first, last)| (first..=last).map(move |gno| Gtid { tsid, gno }))
        .collect()
}

/// The set holds what the model holds, in the one way there is to hold it.
fn same(set: &GtidSet, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(&singles(set), model);
    prop_assert_eq!(set.count(), model.len() as u64);
    prop_assert_eq!(set.is_empty(), model.is_empty());
    let again: GtidSet = model.iter().copied().collect();
    prop_assert_eq!(&again, set);
    prop_assert_eq!(set.intervals(), again.intervals());
    let ranges: Vec<_> = set.ranges().collect();
    for pair in ranges.windows(2) {
        let ((a, _, last), (b, first, _)) = (pair[0], pair[1]);
        prop_assert!(a < b || last + 1 < first, "not joined: {:?}", set);
    }
    Ok(())
}

proptest! {
    #[test]
    fn algebra_is_that_of_sets((a, model_a) in both(), (b, model_b) in both()) {
        same(&a, &model_a)?;
        let mut union = a.clone();
        union.union(&b);
        same(&union, &(&model_a | &model_b))?;
        let mut left = a.clone();
        left.subtract(&b);
        same(&left, &(&model_a - &model_b))?;
        same(&a.minus(&b), &(&model_a - &model_b))?;
        same(&a.intersection(&b), &(&model_a & &model_b))?;
        prop_assert_eq!(a.intersects(&b), !model_a.is_disjoint(&model_b));
        prop_assert_eq!(a.contains_set(&b), model_a.is_superset(&model_b));
        prop_assert!(union.contains_set(&a) && union.contains_set(&b));
        prop_assert_eq!(left.tsids().count(), left.tsids().collect::<BTreeSet<_>>().len());
    }

    #[test]
    fn adding_one_by_one_says_what_is_new(
        (mut set, mut model) in both(),
        more in vec((tsid(), 1u64..70), 0..40),
    ) {
        for (tsid, gno) in more {
            let gtid = Gtid { tsid, gno };
            prop_assert_eq!(set.contains(&gtid), model.contains(&gtid));
            prop_assert_eq!(set.add(gtid), model.insert(gtid));
        }
        same(&set, &model)?;
    }

    #[test]
    fn text_and_binary_round_trip((set, model) in both()) {
        let text = set.to_string();
        same(&text.parse().unwrap(), &model)?;
        let spaced: String = text.to_uppercase().chars().flat_map(|c| match c {
            ':' | ',' => vec![' ', c, '\n'],
            c => vec![c],
        }).collect();
        same(&spaced.parse().unwrap(), &model)?;
        let encoded = set.encode();
        same(&GtidSet::decode(&encoded).unwrap(), &model)?;
        for cut in 0..encoded.len() {
            prop_assert!(GtidSet::decode(&encoded[..cut]).is_err());
        }
        let json = serde_json::to_string(&set).unwrap();
        prop_assert_eq!(serde_json::from_str::<GtidSet>(&json).unwrap(), set);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(set) = GtidSet::decode(&bytes) {
            prop_assert_eq!(GtidSet::decode(&set.encode()).unwrap(), set);
        }
    }

    #[test]
    fn nearly_right_bytes_decode_or_are_refused(
        (set, _) in both(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = set.encode();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(set) = GtidSet::decode(&bytes) {
            prop_assert_eq!(GtidSet::decode(&set.encode()).unwrap(), set);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[0-9a-fA-F:,_ -]{0,80}|\\PC{0,40}") {
        if let Ok(set) = text.parse::<GtidSet>() {
            prop_assert_eq!(set.to_string().parse::<GtidSet>().unwrap(), set);
        }
        let _ = text.parse::<Gtid>();
        let _ = text.parse::<Uuid>();
        let _ = text.parse::<Tag>();
    }
}

#[test]
fn the_next_number_is_added_in_constant_time_and_space() {
    let tsid = Tsid::untagged(Uuid([7; 16]));
    let mut set = GtidSet::new();
    for gno in 1..=1_000_000 {
        assert!(set.add(Gtid { tsid, gno }));
    }
    assert_eq!((set.intervals(), set.count()), (1, 1_000_000));
}

#[test]
fn foreign_sets_in_the_worst_order_are_read_in_no_time() {
    // One axis over and over, each time with a number below all before.
    const TIMES: u64 = 200_000;
    let mut bytes = TIMES.to_le_bytes().to_vec();
    for n in 0..TIMES {
        bytes.extend([7; 16]);
        bytes.extend(1u64.to_le_bytes());
        let first = 2 * (TIMES - n);
        bytes.extend(first.to_le_bytes());
        bytes.extend((first + 1).to_le_bytes());
    }
    let set = GtidSet::decode(&bytes).unwrap();
    assert_eq!(set.intervals() as u64, TIMES);
}
