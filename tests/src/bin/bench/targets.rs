//! What the figures are to be: mostly ratios of figures of the same run.

use super::figures::{Figure, Figures};

/// A wish, and what became of it.
pub struct Target {
    /// What it is about.
    pub name: String,
    /// What was measured.
    pub is: f64,
    /// The bound.
    pub wanted: f64,
    /// Whether more is better.
    pub at_least: bool,
}

impl Target {
    /// Whether it was reached.
    pub fn met(&self) -> bool {
        match self.at_least {
            true => self.is >= self.wanted,
            false => self.is <= self.wanted,
        }
    }
}

/// Of what was measured.
struct Measured<'a> {
    figures: &'a Figures,
    targets: Vec<Target>,
}

/// All targets whose figures were measured.
pub fn targets(figures: &Figures) -> Vec<Target> {
    let mut all = Measured {
        figures,
        targets: Vec::new(),
    };
    all.drains();
    all.readers();
    all.latencies();
    all.times();
    all.memory();
    all.targets
}

impl Measured<'_> {
    fn median(&self, name: &str) -> Option<f64> {
        self.figures.find(name).map(Figure::median)
    }

    fn ratio(&self, name: &str, to: &str) -> Option<f64> {
        Some(self.median(name)? / self.median(to)?)
    }

    fn at_least(&mut self, name: &str, is: Option<f64>, wanted: Option<f64>) {
        self.add(name, is, wanted, true);
    }

    fn at_most(&mut self, name: &str, is: Option<f64>, wanted: Option<f64>) {
        self.add(name, is, wanted, false);
    }

    fn add(&mut self, name: &str, is: Option<f64>, wanted: Option<f64>, at_least: bool) {
        if let (Some(is), Some(wanted)) = (is, wanted) {
            let name = name.to_owned();
            self.targets.push(Target {
                name,
                is,
                wanted,
                at_least,
            });
        }
    }

    fn drains(&mut self) {
        let disk = self.median("plain_write_fdatasync_1mib");
        let three = self.median("drain_small_3_nodes");
        let wanted = disk.map(|disk| f64::min(0.8 * disk / 3.0, 100.0));
        self.at_least("drain small 3 nodes, MB/s", three, wanted);
        let one = self.ratio("drain_small_1_node", "mysqlbinlog_raw_small");
        self.at_least("drain small 1 node / mysqlbinlog --raw", one, Some(0.8));
        let one = self.ratio("drain_large_1_node", "plain_write_fdatasync_1mib");
        self.at_least("drain large 1 node / plain file", one, Some(0.8));
        for (size, most) in [("small", 6.0), ("large", 3.0)] {
            let cpu = self.median(&format!("drain_{size}_3_nodes_cpu_s_per_gb"));
            self.at_most(&format!("drain {size} 3 nodes, CPU-s/GB"), cpu, Some(most));
            let bytes = self.median(&format!("disk_bytes_per_binlog_byte_{size}"));
            self.at_most(
                &format!("bytes written / binlog, {size}"),
                bytes,
                Some(1.05),
            );
        }
    }

    fn readers(&mut self) {
        let rate = self.ratio("fanout_small_16_mbs", "mysql_fanout_small_16_mbs");
        self.at_least("small events, 16 readers / MySQL", rate, Some(4.0));
        let cpu = self.median("fanout_small_16_cpu_s_per_gb");
        self.at_most("small events, 16 readers, CPU-s/GB", cpu, Some(0.5));
        let rate = self.ratio("fanout_large_16_mbs", "mysql_fanout_large_16_mbs");
        self.at_least("large events, 16 readers / MySQL", rate, Some(1.0));
        let name = "fanout_large_16_cpu_s_per_gb";
        let cpu = self.ratio(name, &format!("mysql_{name}"));
        self.at_most("large events, CPU / MySQL's", cpu, Some(1.0));
    }

    fn latencies(&mut self) {
        let sync = self.median("fdatasync_4k_p50_ms");
        for load in ["200", "2000", "200_backlog", "2000_backlog"] {
            let of = |which: &str, percent: &str| {
                self.median(&format!("latency_{which}_{load}_{percent}_ms"))
            };
            let added = of("3_nodes", "p50").zip(of("direct", "p50"));
            let added = added.map(|(ours, direct)| ours - direct);
            let (p99, bound) = (of("3_nodes", "p99"), of("direct", "p99"));
            let bound = bound.map(|direct| 2.0 * direct + 2.0);
            let name = format!("latency added at {load}/s, median, ms");
            self.at_most(&name, added, sync.map(|sync| 2.0 * sync + 0.5));
            self.at_most(&format!("latency at {load}/s, 99 %, ms"), p99, bound);
        }
        let ratio = self.ratio("semi_sync_kingbus_p50_ms", "semi_sync_mysql_p50_ms");
        self.at_most("semi-sync commit / MySQL replica's", ratio, Some(1.0));
    }

    fn times(&mut self) {
        let kill = "leader_kill_to_streaming_elsewhere_s";
        self.at_most("leader killed, median, s", self.median(kill), Some(1.0));
        let worst = self.figures.find(kill).map(Figure::max);
        self.at_most("leader killed, worst, s", worst, Some(1.5));
        for (name, most) in [
            ("leader_move_ms", 200.0),
            ("dump_start_1tib_ms", 5.0),
            ("open_clean_1tib_ms", 1_000.0),
            ("open_killed_1tib_ms", 5_000.0),
        ] {
            self.at_most(name, self.median(name), Some(most));
        }
        let elections = self.figures.find("hour_elections").map(Figure::max);
        self.at_most("elections in an hour of full load", elections, Some(0.0));
        let name = "sim_1000_step_schedules_per_cpu_s";
        self.at_least(name, self.median(name), Some(300.0));
    }

    fn memory(&mut self) {
        for name in [
            "rss_256_readers_mib",
            "rss_huge_event_mib",
            "rss_catch_up_mib",
            "rss_1tib_mib",
        ] {
            let peak = self.figures.find(name).map(Figure::max);
            self.at_most(name, peak, Some(200.0));
        }
    }
}
