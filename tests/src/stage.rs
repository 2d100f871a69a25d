//! The usual set-up: a source, kingbus nodes that follow it, a replica that follows the nodes.

use crate::check::follow;
use crate::kingbus::Cluster;
use crate::mysqld::Server;
use crate::scratch::Scratch;
use crate::wait::seconds;

/// All of it, running.
#[derive(Debug)]
pub struct Stage {
    /// Reads from the nodes, and fails over between them.
    pub replica: Server,
    /// The nodes.
    pub cluster: Cluster,
    /// The real source.
    pub source: Server,
    /// The folder of all; dropped last.
    pub scratch: Scratch,
}

impl Stage {
    /// Starts everything, with empty servers; the nodes begin with the source's first transaction.
    pub fn new(name: &str, nodes: usize, source_flags: &[&str]) -> Stage {
        let scratch = Scratch::new(name);
        let cluster = Cluster::start(&scratch, nodes);
        let source = Server::start(&scratch, "source", source_flags);
        let port = source.port();
        Stage::with(scratch, cluster, source, port)
    }

    /// Goes on from a cluster and a source; the nodes reach the source at `port`.
    pub fn with(scratch: Scratch, cluster: Cluster, source: Server, port: u16) -> Stage {
        cluster.follow(port, "earliest");
        cluster.wait_source("streaming", seconds(30));
        cluster.wait_serving();
        let replica = Server::start(&scratch, "replica", &["--replica-parallel-workers=2"]);
        follow(&replica, &cluster.ports());
        Stage {
            replica,
            cluster,
            source,
            scratch,
        }
    }
}
