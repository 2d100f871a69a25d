//! A node's disk does what disks do: torn writes, lost files, flipped bits, no space.

use std::path::Path;
use std::time::Duration;

use kingbus_tests::check::{
    assert_same_data, assert_same_events, follow, wait_row, wait_same_executed,
};
use kingbus_tests::disk;
use kingbus_tests::kingbus::Cluster;
use kingbus_tests::load::{self, Load};
use kingbus_tests::mysqld::Server;
use kingbus_tests::scratch::{Scratch, copy_folder};
use kingbus_tests::stage::Stage;
use kingbus_tests::wait::{self, seconds};

/// Shows that all nodes have all, and give out the source's own bytes.
fn assert_whole(stage: &Stage) {
    stage.cluster.wait_serving();
    stage
        .cluster
        .wait_executed(&stage.source.executed(), seconds(30));
    wait_same_executed(&stage.source, &stage.replica, seconds(30));
    assert_same_data(&stage.source, &stage.replica);
    assert_same_events(&stage.scratch, &stage.source, &stage.cluster);
}

#[test]
fn a_torn_record_and_a_lost_index_are_mended_and_a_flipped_bit_is_refused() {
    let mut stage = Stage::new("disk", 3, &[]);
    load::prepare(&stage.source);
    let write = |stage: &Stage, worker| {
        let load = Load::start(&stage.source, worker, 2, Duration::ZERO);
        wait::until("some rows", seconds(30), || {
            (load.committed() > 2000).then_some(())
        });
        load
    };

    // Killed while it writes, with a torn record at the end, as by a loss of power.
    let load = write(&stage, 10);
    let victim = stage.cluster.leader();
    stage.cluster.nodes[victim].kill();
    load.stop();
    let data = stage.cluster.nodes[victim].data();
    disk::leave_torn_record(disk::segments(&data).last().expect("a segment"));
    stage.cluster.nodes[victim].start();
    assert_whole(&stage);

    // Its index is gone.
    let load = write(&stage, 20);
    stage.cluster.nodes[victim].kill();
    std::fs::remove_dir_all(disk::index(&data)).expect("an index to remove");
    stage.cluster.nodes[victim].start();
    load.stop();
    assert_whole(&stage);

    // A bit flips where it was long at rest.
    stage.cluster.nodes[victim].kill();
    let segment = disk::segments(&data).remove(0);
    let middle = disk::used_bytes(&segment) / 2;
    disk::flip_bit(&segment, middle);
    stage.cluster.nodes[victim].start();
    let node = &mut stage.cluster.nodes[victim];
    wait::until("the node tells of the damage", seconds(30), || {
        let told = node.log() + &node.text("/disk/error").unwrap_or_default();
        let told = told.to_lowercase();
        (told.contains("segment") && told.contains("offset")).then_some(())
    });
    let running = node.is_running();
    assert!(!running || node.text("/disk/state").as_deref() == Some("damaged"));
    wait::throughout("a damaged node does not serve", seconds(3), || {
        !node.serves()
    });
    // The others go on, and the replica with them.
    stage
        .source
        .run(&["INSERT INTO load_.rows_ VALUES (99, 1, 'with two nodes')"]);
    let count = "SELECT COUNT(*) FROM load_.rows_ WHERE worker = 99";
    wait_row(
        &stage.replica,
        count,
        std::time::Instant::now(),
        seconds(20),
    );
}

#[test]
fn a_full_disk_is_told_does_no_damage_and_goes_on_when_there_is_space() {
    let scratch = Scratch::new("full");
    let source = Server::start(&scratch, "source", &[]);
    let mut cluster = Cluster::prepare(&scratch, 1, false);
    let data = cluster.nodes[0].data();
    // A small file system that only this process and its children see, and that goes with it.
    let mount = format!(
        "mkdir -p {0} && mount -t tmpfs -o size=700m tmpfs {0} && exec \"$@\"",
        data.display()
    );
    let unshare = [
        "unshare",
        "--mount",
        "--map-root-user",
        "sh",
        "-c",
        &mount,
        "sh",
    ];
    let possible = std::process::Command::new("unshare")
        .args([
            "--mount",
            "--map-root-user",
            "mount",
            "-t",
            "tmpfs",
            "tmpfs",
            "/mnt",
        ])
        .status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("not tried: this machine lets nobody mount a tmpfs (unshare --mount)");
        return;
    }
    cluster.nodes[0].wrap(&unshare);
    cluster.start_all();
    cluster.leader();
    cluster.follow(source.port(), "earliest");
    cluster.wait_source("streaming", seconds(30));
    load::prepare(&source);
    cluster.wait_executed(&source.executed(), seconds(30));

    let seen = format!(
        "/proc/{}/root{}",
        cluster.nodes[0].process().id(),
        data.display()
    );
    let seen = Path::new(&seen);
    disk::fill(&seen.join("ballast"));
    source.run(&[
        "CREATE TABLE load_.big (id INT PRIMARY KEY, v LONGBLOB)",
        "INSERT INTO load_.big WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n \
         WHERE i < 299) SELECT i, REPEAT(SHA2(i, 256), 1048576 / 64) FROM n",
        "INSERT INTO load_.rows_ VALUES (1, 1, 'after the large one')",
    ]);
    wait::until("the status says that the disk is full", seconds(60), || {
        (cluster.nodes[0].text("/disk/state")? == "full").then_some(())
    });
    wait::until("the log tells that there is no space", seconds(5), || {
        cluster.nodes[0].log().contains("no space").then_some(())
    });
    assert!(cluster.nodes[0].is_running());
    assert_ne!(cluster.nodes[0].text("/executed"), Some(source.executed()));

    std::fs::remove_file(seen.join("ballast")).expect("the ballast to remove");
    cluster.wait_executed(&source.executed(), seconds(60));
    assert_eq!(cluster.nodes[0].text("/disk/state").as_deref(), Some("ok"));

    // Its files, as a crash leaves them now, are whole.
    let copy = scratch.folder("copy");
    copy_folder(seen, &copy).expect("a copy of the node's files");
    cluster.nodes[0].kill();
    copy_folder(&copy, &data).expect("a copy of the node's files");
    cluster.nodes[0].wrap(&[]);
    cluster.start_all();
    cluster.wait_serving();
    let replica = Server::start(&scratch, "replica", &[]);
    follow(&replica, &cluster.ports());
    wait_same_executed(&source, &replica, seconds(60));
    assert_same_data(&source, &replica);
    assert_same_events(&scratch, &source, &cluster);
}
