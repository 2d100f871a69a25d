//! How many nodes there are, and what the operator does with them.

use super::super::{Change, Fault, IndexLoss, NODES_MAX, Settings, Target, What};
use crate::rng::Rng;

/// Stories about members in one schedule at most.
const STORIES_MAX: u64 = 4;

/// How often a voter that leaves misses how it left.
const MISSED_PPM: u64 = 500_000;

/// Nodes of a schedule that is free to choose: mostly three voters, often a spare or a learner.
pub(super) fn nodes(seed: u64, settings: &mut Settings) -> u64 {
    let rng = &mut Rng::new(seed, "nodes", 0);
    let voters = *rng.pick(&[3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 1, 2, 4, 5, 5, 7]);
    let free = NODES_MAX - voters;
    if rng.chance(400_000) {
        settings.spares = *rng.pick(&[1, 1, 1, 2, 2, 3]).min(&free);
    }
    if rng.chance(200_000) {
        settings.learners = *rng.pick(&[1, 1, 2]).min(&(free - settings.spares));
    }
    voters + settings.learners + settings.spares
}

/// What the operator does with the members: nothing in most schedules without a spare or a learner.
pub(super) fn faults(seed: u64, nodes: u64, settings: &Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "members", 0);
    let moves = settings.spares + settings.learners > 0;
    if nodes == 1 || !rng.chance(if moves { 800_000 } else { 150_000 }) {
        return Vec::new();
    }
    let stories = rng.range(1, STORIES_MAX);
    let story = |number| {
        let rng = &mut Rng::new(seed, "members", number);
        let at_ms = rng.range(700, settings.faults_ms);
        story(rng, at_ms, nodes, settings)
    };
    let missed = missed(seed, nodes, settings);
    (1..=stories).flat_map(story).chain(missed).collect()
}

/// All voters but one are replaced by the spares. One that goes sleeps through that, gets the whole change
/// at once when it wakes up, and everything crashes soon after.
fn missed(seed: u64, nodes: u64, settings: &Settings) -> Vec<Fault> {
    let rng = &mut Rng::new(seed, "members missed", 0);
    let voters = nodes - settings.spares - settings.learners;
    if settings.spares == 0 || voters == 1 || !rng.chance(MISSED_PPM) {
        return Vec::new();
    }
    let between = rng.range(300, 1_000);
    let mut at_ms = rng.range(700, settings.faults_ms);
    let stays = rng.range(1, voters);
    let sleeper = stays % voters + 1;
    let come = nodes - settings.spares + 1..=nodes;
    let go = (1..=voters).filter(|node| *node != stays);
    let fault = |at_ms, for_ms, what| Fault {
        at_ms,
        for_ms,
        what,
    };
    let members = |at_ms, changes| fault(at_ms, 0, What::Members { changes });
    let mut faults = Vec::new();
    for node in come.clone() {
        faults.push(members(at_ms, vec![(Change::Add, Target::Node(node))]));
        at_ms += between;
    }
    let come = come.map(|node| (Change::Promote, Target::Node(node)));
    let go = go.map(|node| (Change::Remove, Target::Node(node)));
    faults.push(members(at_ms, come.chain(go).collect()));
    let asleep = rng.range(100, 1_000);
    let target = Target::Node(sleeper);
    faults.push(fault(at_ms - 10, asleep, What::Pause { target }));
    at_ms += asleep + rng.range(10, 1_000);
    let index = IndexLoss::Suffix;
    faults.push(fault(at_ms, rng.range(1, 100), What::CrashAll { index }));
    faults
}

fn story(rng: &mut Rng, at_ms: u64, nodes: u64, settings: &Settings) -> Vec<Fault> {
    let inside = nodes - settings.spares;
    let voters = inside - settings.learners;
    let any = Target::Node(rng.range(1, nodes));
    let voter = match rng.below(3) {
        0 => Target::Leader,
        1 => Target::Follower,
        _ => Target::Node(rng.range(1, voters)),
    };
    let later = rng.range(50, 3_000);
    let one = |change, target| vec![(change, target)];
    let steps = match rng.below(6) {
        // Somebody comes, and somebody goes.
        0 | 1 => vec![
            one(Change::Add, any),
            vec![(Change::Promote, any), (Change::Remove, voter)],
        ],
        2 => vec![one(Change::Add, any), one(Change::Promote, any)],
        3 => vec![one(Change::Remove, voter), one(Change::Add, voter)],
        4 => vec![one(Change::Demote, voter), one(Change::Promote, voter)],
        // All voters are replaced by all others.
        _ => {
            let others = (voters + 1..=nodes).map(Target::Node);
            let mut steps: Vec<_> = others.clone().map(|node| one(Change::Add, node)).collect();
            let olds = (1..=voters).map(Target::Node);
            let come = others.map(|node| (Change::Promote, node));
            let go = olds.map(|node| (Change::Remove, node));
            steps.push(come.chain(go).collect());
            steps
        }
    };
    let fault = |(number, changes)| Fault {
        at_ms: at_ms + number as u64 * later,
        for_ms: 0,
        what: What::Members { changes },
    };
    steps.into_iter().enumerate().map(fault).collect()
}
