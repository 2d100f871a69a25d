//! The configuration of one node: what is in force after file, environment and defaults.

mod file;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kingbus_core::gtid::Uuid;
use kingbus_core::node::catalog::Start;

use crate::secret::Secret;

/// Where the operator's port listens, and where the command line looks for it.
pub const ADMIN_DEFAULT: &str = "127.0.0.1:9306";

/// `server_id` unless configured.
pub const SERVER_ID_DEFAULT: u32 = 33_070;

/// Client connections at once, unless configured.
pub const CONNECTIONS_MAX_DEFAULT: usize = 1_000;

/// Everything `kingbus serve` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folder of this node alone.
    pub data: PathBuf,
    /// Length of a new segment file, in bytes.
    pub segment_bytes: u64,
    /// The port for replicas.
    pub replicas: Replicas,
    /// The port for operators.
    pub admin: Admin,
    /// Who the cluster is to its replicas.
    pub identity: Identity,
    /// The source for a store that has none yet.
    pub source: Option<Source>,
    /// The other nodes; None: this node is alone.
    pub cluster: Option<Cluster>,
}

/// The port for replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// Address and port.
    pub listen: String,
    /// The account they log in with.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Client connections at once.
    pub connections_max: usize,
}

/// The port for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Address and port.
    pub listen: SocketAddr,
    /// To be sent as `Authorization: Bearer TOKEN`; there is one unless `listen` is on loopback.
    pub token: Option<Secret>,
}

/// Who the cluster is to its replicas, the same on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `@@server_id`, also towards the source.
    pub server_id: u32,
    /// `@@server_uuid`; None: made at the first start, kept in the data folder.
    pub server_uuid: Option<Uuid>,
}

/// A source, with its password in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Account with REPLICATION SLAVE.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Where an empty store begins.
    pub start: Start,
    /// Whether to be a semi-synchronous replica, where the source has it.
    pub semi_sync: bool,
}

/// The nodes that keep one store together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// This node.
    pub id: u64,
    /// Where other nodes reach this one.
    pub listen: String,
    /// All nodes, this one included: address and port.
    pub nodes: BTreeMap<u64, String>,
    /// Shared by all nodes.
    pub secret: Secret,
}

/// A configuration that cannot be used: which file, which key, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The configuration file.
    pub file: PathBuf,
    /// `section.key`; empty when it is about the whole file.
    pub key: String,
    /// What is wrong, and the remedy.
    pub text: String,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads a file; secrets it does not have may come from the environment.
    pub fn load(file: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError {
            file: file.to_owned(),
            key: String::new(),
            text: format!("cannot be read: {error}. Name the configuration with --config FILE"),
        })?;
        Config::parse(file, &text, &|name| std::env::var(name).ok())
    }

    /// Reads a file's text; `env` looks up environment variables.
    pub fn parse(
        file: &Path,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        file::parse(file, text, env)
    }

    /// Number of this node.
    pub fn node(&self) -> u64 {
        self.cluster.as_ref().map_or(1, |cluster| cluster.id)
    }
}

/// `earliest`, `now`, or a GTID set.
pub fn parse_start(text: &str) -> Result<Start, String> {
    match text.trim() {
        "earliest" | "" => Ok(Start::Earliest),
        "now" => Ok(Start::Now),
        set => set.parse().map(Start::After).map_err(|error| {
            format!("`{set}` is neither `earliest` nor `now` nor a GTID set: {error}")
        }),
    }
}
