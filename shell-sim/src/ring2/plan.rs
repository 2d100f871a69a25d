//! What a seed means: sizes and speeds, and the faults with their times, drawn before the run.

use std::fmt;
use std::time::Duration;

use kingbus::os::Disk;

use crate::rng::Rng;
use crate::schedule::Settings;

/// Nodes.
pub const NODES: usize = 3;
/// Replicas.
pub const REPLICAS: usize = 2;

/// Time of the faults, in milliseconds.
const FAULTS_MS: (u64, u64) = (6_000, 12_000);

/// A node that is told to stop has stopped in this time.
pub const STOPPED_MS_MAX: u64 = 2_500;

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// What source and replicas are like.
    pub settings: Settings,
    /// Longest time of a segment on its way, in milliseconds.
    pub latency_ms_max: u64,
    /// What the nodes' disks are like.
    pub disk: Disk,
    /// A crash tears writes at so many bytes; 0: it loses them whole.
    pub torn_bytes: u64,
    /// Length of a segment file.
    pub segment_bytes: u64,
    /// Likelihood that a replica goes after a transaction, in parts per million.
    pub leave_ppm: u64,
    /// When everything heals.
    pub heal_ms: u64,
    /// What happens until then, by time in milliseconds.
    pub faults: Vec<(u64, Fault)>,
}

/// A host, as turmoil calls it.
pub type Host = String;

/// Something that goes wrong, for `ms` milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nodes lose their power, all at once, with what is not durable.
    Crash {
        /// Which, from 1.
        nodes: Vec<usize>,
        /// Nobody hears of it before they are back: no connection ends.
        silent: bool,
        /// Their indexes are gone too.
        index_lost: bool,
        /// How long.
        ms: u64,
    },
    /// A node is told to stop, and is started again after that time.
    Stop {
        /// Which, from 1.
        node: usize,
        /// How long.
        ms: u64,
    },
    /// What is on its way between two hosts arrives after that time.
    Hold {
        /// One.
        a: Host,
        /// The other.
        b: Host,
        /// How long.
        ms: u64,
    },
    /// What is sent from one host to the other is lost, and with it the connections it belonged to.
    Lose {
        /// From it.
        from: Host,
        /// To it.
        to: Host,
        /// And back.
        both: bool,
        /// How long.
        ms: u64,
    },
    /// The link between two hosts is slow.
    Slow {
        /// One.
        a: Host,
        /// The other.
        b: Host,
        /// Milliseconds on the way.
        latency_ms: u64,
        /// How long.
        ms: u64,
    },
    /// The source crashes.
    SourceCrash {
        /// How long.
        ms: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Crash {
                nodes,
                silent,
                index_lost,
                ms,
            } => {
                write!(f, "crash of {nodes:?} for {ms} ms")?;
                f.write_str(if *silent { ", silent" } else { "" })?;
                f.write_str(if *index_lost { ", index lost" } else { "" })
            }
            Fault::Stop { node, ms } => write!(f, "stop of node {node} for {ms} ms"),
            Fault::Hold { a, b, ms } => write!(f, "hold {a} and {b} for {ms} ms"),
            Fault::Lose { from, to, both, ms } => {
                let way = if *both { "and" } else { "to" };
                write!(f, "lose from {from} {way} {to} for {ms} ms")
            }
            Fault::Slow {
                a,
                b,
                latency_ms,
                ms,
            } => write!(f, "slow {a} and {b}, {latency_ms} ms, for {ms} ms"),
            Fault::SourceCrash { ms } => write!(f, "crash of the source for {ms} ms"),
        }
    }
}

/// Name of a node's host.
pub fn node_host(node: usize) -> Host {
    format!("node{node}")
}

/// Name of a replica's host.
pub fn replica_host(replica: usize) -> Host {
    format!("replica{replica}")
}

/// Name of the source's host.
pub const SOURCE_HOST: &str = "source";
/// Name of the operator's host.
pub const OPERATOR_HOST: &str = "operator";

impl Plan {
    /// The plan of a seed. Its likelihoods are drawn too, 0 included.
    pub fn new(seed: u64) -> Plan {
        let mut rng = Rng::new(seed, "ring2", 0);
        let settings = Settings {
            history: rng.range(0, 30),
            commit_us: *rng.pick(&[10_000, 30_000, 100_000]),
            clients: *rng.pick(&[0, 1, 8, 8]),
            transaction_bytes_max: *rng.pick(&[300, 3_000, 60_000]),
            huge_ppm: *rng.pick(&[0, 0, 10_000]),
            rare_ppm: *rng.pick(&[0, 100_000]),
            after_commit: rng.below(2),
            ack_timeout_ms: *rng.pick(&[0, 0, 1_000]),
            tagged_ppm: *rng.pick(&[0, 200_000]),
            rotate_ppm: *rng.pick(&[0, 10_000, 100_000]),
            replica_holes: *rng.pick(&[0, 0, 6, 7]),
            ..Settings::default()
        };
        let settings = Settings {
            replica_holes: settings.replica_holes.min(settings.history),
            ..settings
        };
        let heal_ms = rng.range(FAULTS_MS.0, FAULTS_MS.1);
        let count = rng.range(0, 12);
        let mut faults: Vec<_> = (0..count)
            .map(|_| (rng.range(1_500, heal_ms - 500), Fault::draw(&mut rng)))
            .collect();
        faults.sort_by_key(|(at_ms, _)| *at_ms);
        Plan {
            seed,
            settings,
            latency_ms_max: *rng.pick(&[1, 5, 20]),
            disk: Disk {
                ms_max: *rng.pick(&[0, 3, 15, 40]),
                lies: false,
            },
            torn_bytes: *rng.pick(&[0, 512, 4096]),
            segment_bytes: *rng.pick(&[256 << 10, 1 << 20]),
            leave_ppm: *rng.pick(&[0, 1_000, 20_000]),
            heal_ms,
            faults,
        }
    }

    /// The same without faults.
    pub fn calm(self) -> Plan {
        let faults = Vec::new();
        Plan { faults, ..self }
    }

    /// Length of the phase with faults.
    pub fn heal_at(&self) -> Duration {
        Duration::from_millis(self.heal_ms)
    }
}

impl Fault {
    fn draw(rng: &mut Rng) -> Fault {
        let (first, second) = two_nodes(rng);
        match rng.below(13) {
            0..=3 => Fault::Crash {
                nodes: vec![first],
                silent: rng.chance(300_000),
                index_lost: rng.chance(300_000),
                ms: rng.range(10, 4_000),
            },
            4 => Fault::Crash {
                nodes: vec![first, second],
                silent: false,
                index_lost: rng.chance(300_000),
                ms: rng.range(10, 3_000),
            },
            5 => Fault::Crash {
                nodes: (1..=NODES).collect(),
                silent: false,
                index_lost: rng.chance(300_000),
                ms: rng.range(10, 3_000),
            },
            6 => Fault::Hold {
                a: node_host(first),
                b: any_other(rng, second),
                ms: rng.range(50, 5_000),
            },
            7 | 8 => Fault::Lose {
                from: node_host(first),
                to: node_host(second),
                both: rng.chance(500_000),
                ms: rng.range(50, 5_000),
            },
            9 => Fault::Stop {
                node: first,
                ms: rng.range(STOPPED_MS_MAX, 5_000),
            },
            10 => Fault::Slow {
                a: node_host(first),
                b: node_host(second),
                latency_ms: rng.range(20, 200),
                ms: rng.range(500, 5_000),
            },
            _ => Fault::SourceCrash {
                ms: rng.range(10, 3_000),
            },
        }
    }
}

fn two_nodes(rng: &mut Rng) -> (usize, usize) {
    let first = rng.below(NODES as u64);
    let second = (first + rng.range(1, NODES as u64 - 1)) % NODES as u64;
    (first as usize + 1, second as usize + 1)
}

/// The second node, the source or a replica.
fn any_other(rng: &mut Rng, node: usize) -> Host {
    match rng.below(3) {
        0 => node_host(node),
        1 => SOURCE_HOST.to_owned(),
        _ => replica_host(rng.range(1, REPLICAS as u64) as usize),
    }
}
