//! How many nodes there are, and what the operator does with them.

use super::super::{Change, Fault, NODES_MAX, Settings, Target, What};
use crate::rng::Rng;

/// Stories about members in one schedule at most.
const STORIES_MAX: u64 = 4;

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
    (1..=stories).flat_map(story).collect()
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
