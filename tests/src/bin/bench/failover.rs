//! How long replicas are without news when the leader dies, and when it hands over.

use std::time::Duration;

use kingbus_tests::check::follow;
use kingbus_tests::failover::{hand_over, kill_leader};
use kingbus_tests::load::{self, Load};
use kingbus_tests::mysqld::{SEMI_SYNC, Server};
use kingbus_tests::stage::Stage;

use super::Arguments;
use super::figures::Figures;

/// Leaders killed, and leaders that hand over, in one lap.
const ROUNDS: u64 = 30;

/// Kills the leader again and again, then has it hand over as often.
pub fn failover(arguments: &Arguments, figures: &mut Figures) {
    println!("kill -9 of the leader, and its handing over, with semi-sync on and under load");
    let mut stage = Stage::new("bench-kill", 3, &[SEMI_SYNC]);
    stage.source.semi_sync_on();
    load::prepare(&stage.source);
    stage
        .source
        .run(&["CREATE TABLE load_.kills (number BIGINT PRIMARY KEY)"]);
    let second = Server::start(&stage.scratch, "replica2", &[]);
    follow(&second, &stage.cluster.ports());
    let load = Load::start(&stage.source, 1, 3, Duration::from_millis(2));
    let rounds = if arguments.quick { 2 } else { ROUNDS };
    for round in 0..rounds {
        let replicas = [&stage.replica, &second];
        let gap = kill_leader(&mut stage.cluster, &stage.source, replicas, round);
        figures.add("leader_kill_to_streaming_s", "s", gap.at_leader);
        figures.add("leader_kill_to_streaming_elsewhere_s", "s", gap.elsewhere);
    }
    for round in rounds..2 * rounds {
        let replicas = [&stage.replica, &second];
        let gap = hand_over(&mut stage.cluster, &stage.source, replicas, round);
        figures.add("leader_move_ms", "ms", gap.elsewhere * 1e3);
    }
    load.stop();
}
