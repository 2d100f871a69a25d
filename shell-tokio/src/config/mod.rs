//! The configuration of one node: what is in force after file, environment and defaults.

mod file;
mod sections;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kingbus_core::gtid::Uuid;
use kingbus_core::node::catalog::Start;

pub use self::file::is_address;
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
    /// Bytes of log to keep at least; None: all of it.
    pub retain_bytes: Option<u64>,
    /// Bytes kept beyond that for a replica or a node that is behind.
    pub retain_slack_bytes: u64,
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
    /// Whether the node is recorded; said on the command line.
    pub record: Option<Record>,
}

/// A recording of what the node is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The file.
    pub file: PathBuf,
    /// Its greatest length, in bytes.
    pub bytes_max: u64,
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
    /// The nodes that a new cluster begins with, this one included: address and port. Who belongs to it
    /// later is in the log.
    pub nodes: BTreeMap<u64, String>,
    /// This node joins a cluster that is there already, which is told to add it.
    pub join: bool,
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

#[cfg(test)]
mod tests {
    use kingbus_core::node::catalog::Start;

    use super::*;

    const ALONE: &str = r#"
        data = "/d"
        [replicas]
        listen = "0.0.0.0:3307"
        user = "repl"
        password = "p"
    "#;

    const CLUSTER: &str = r#"
        [identity]
        server_id = 7
        server_uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
        [cluster]
        id = 2
        secret = "0123456789abcdef"
        nodes = [{ id = 1, address = "a:7307" }, { id = 2, address = "b:7307" }]
    "#;

    fn read(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("k.toml"), text, &|_| None).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refused(text: &str, parts: &[&str]) {
        let error = read(text).expect_err("refused");
        for part in parts.iter().chain(&["k.toml"]) {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
    }

    #[test]
    fn one_node_alone_needs_a_folder_and_a_replica_account() {
        let config = read(ALONE).expect("accepted");
        assert_eq!(config.admin.listen.to_string(), ADMIN_DEFAULT);
        assert_eq!(
            config.identity,
            Identity {
                server_id: SERVER_ID_DEFAULT,
                server_uuid: None
            }
        );
        assert_eq!((config.node(), config.segment_bytes), (1, 256 << 20));
        assert_eq!((config.source, config.cluster), (None, None));
    }

    #[test]
    fn example_can_be_used_and_shows_every_key() {
        let example = include_str!("../../../kingbus.example.toml");
        assert!(read(example).is_ok());
        let is_key = |text: &str| {
            let name = text.split_once(" = ").map_or("", |(name, _)| name);
            let named =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            named || text.starts_with('[') || text.starts_with("  {") || text == "]"
        };
        let shown = example.lines().map(|line| match line.strip_prefix("# ") {
            Some(text) if is_key(text) => text,
            Some(_) | None => line,
        });
        let all = shown.collect::<Vec<_>>().join("\n");
        let all = all.replace("secret = \"...\"", "secret = \"0123456789abcdef\"");
        let config = read(&all).expect("accepted with everything in it");
        assert!(config.source.is_some() && config.admin.token.is_some());
        assert_eq!(config.cluster.expect("three nodes").nodes.len(), 3);
    }

    #[test]
    fn cluster_listens_on_its_own_address() {
        let cluster = read(&format!("{ALONE}{CLUSTER}"))
            .expect("accepted")
            .cluster
            .expect("one");
        assert_eq!(
            (cluster.id, cluster.listen.as_str(), cluster.nodes.len()),
            (2, "b:7307", 2)
        );
    }

    #[test]
    fn errors_name_the_key_and_the_remedy() {
        refused("", &["data"]);
        refused(
            &format!("datta = 1\n{ALONE}"),
            &["datta", "kingbus.example.toml"],
        );
        let without = ALONE.replace("password = \"p\"", "");
        refused(
            &without,
            &[
                "replicas.password",
                "password_file",
                "KINGBUS_REPLICAS_PASSWORD",
            ],
        );
        let twice = ALONE.replace("password = ", "password_file = \"f\"\npassword = ");
        refused(&twice, &["replicas.password", "twice"]);
        let unreadable = ALONE.replace("password = \"p\"", "password_file = \"/none\"");
        refused(&unreadable, &["replicas.password_file", "/none"]);
        refused(
            &ALONE.replace("0.0.0.0:3307", "3307"),
            &["replicas.listen", "HOST:PORT"],
        );
        refused(
            &format!("segment_mib = 1\n{ALONE}"),
            &["segment_mib", "8 to 4096"],
        );
        refused(
            &format!("{ALONE}[admin]\nlisten = \"0.0.0.0:1\""),
            &["admin.token", "127.0.0.1"],
        );
        refused(
            &format!("{ALONE}[identity]\nserver_uuid = \"x\""),
            &["identity.server_uuid"],
        );
        refused(
            &format!("{ALONE}[identity]\nserver_id = 0"),
            &["identity.server_id"],
        );
        let source = format!("{ALONE}[source]\nhost = \"h\"\nuser = \"u\"\npassword = \"p\"\n");
        refused(
            &format!("{source}start = \"x:y\""),
            &["source.start", "GTID set"],
        );
        refused(&source.replace("password", "pasword"), &["pasword"]);
    }

    #[test]
    fn value_of_the_wrong_type_is_not_printed() {
        let text = ALONE.replace("\"p\"", "20240517");
        let error = read(&text).expect_err("refused");
        assert!(
            error.contains("expected a string") && !error.contains("2024"),
            "{error}"
        );
    }

    #[test]
    fn empty_password_of_replicas_is_refused() {
        refused(
            &ALONE.replace("\"p\"", "\"\""),
            &["replicas.password", "anybody"],
        );
    }

    #[test]
    fn addresses_have_a_port() {
        assert!(is_address("db1:1") && is_address("[::1]:65535"));
        assert!(!is_address("db1") && !is_address(":1") && !is_address("db1:65536"));
    }

    #[test]
    fn cluster_errors_name_the_key_and_the_remedy() {
        let with = |from: &str, to: &str| format!("{ALONE}{}", CLUSTER.replace(from, to));
        refused(
            &with("id = 2\n", "id = 3\n"),
            &["cluster.id", "cluster.nodes"],
        );
        refused(
            &with("0123456789abcdef", "short"),
            &["cluster.secret", "openssl rand"],
        );
        refused(
            &with("secret =", "secret_file = \"/none\" #"),
            &["cluster.secret_file"],
        );
        refused(
            &with("server_id = 7", ""),
            &["identity.server_id", "every node"],
        );
        refused(&with("id = 1,", "id = 2,"), &["cluster.nodes", "id 2"]);
        refused(&with("a:7307", "b:7307"), &["cluster.nodes", "b:7307"]);
    }

    #[test]
    fn secrets_come_from_the_environment_when_the_file_has_none() {
        let text = ALONE.replace("password = \"p\"", "");
        let env = |name: &str| (name == "KINGBUS_REPLICAS_PASSWORD").then(|| "from env".to_owned());
        let config = Config::parse(Path::new("k.toml"), &text, &env).expect("accepted");
        assert_eq!(config.replicas.password, Secret::new("from env"));
        assert!(!format!("{config:?}").contains("from env"));
    }

    #[test]
    fn source_starts_at_the_earliest_unless_told() {
        let base = format!("{ALONE}[source]\nhost = \"h\"\nuser = \"u\"\npassword = \"p\"\n");
        let source = |more: &str| read(&format!("{base}{more}")).expect("accepted").source;
        let start = |more: &str| source(more).expect("one").start;
        assert_eq!(start(""), Start::Earliest);
        assert_eq!(start("start = \"now\""), Start::Now);
        let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
        let after = Start::After(set.parse().expect("a set"));
        assert_eq!(start(&format!("start = \"{set}\"")), after);
        assert!(source("").expect("one").semi_sync);
    }
}
