//! The command line.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kingbus_core::node::status::{MemberStatus, SourceStatus, Status};
use serde_json::{Value, json};

use crate::client::{Client, Method};
use crate::config::{ADMIN_DEFAULT, Config, Record, parse_start};
use crate::http::Change;
use crate::secret::Secret;
use crate::{serve, show};

/// A distributed store for MySQL binlogs: follows a source, keeps its binlog on several nodes, serves it
/// to replicas as if it were the source.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node
    Serve {
        /// The node's configuration, see kingbus.example.toml
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Record what the node is told, for its developers: a new file, which will hold binlog
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
        /// The recording ends when its file would be longer
        #[arg(long, value_name = "MIB", default_value_t = 4096, requires = "record")]
        record_mib_max: u64,
    },
    /// Show what a node is doing
    Status {
        #[command(flatten)]
        node: NodeArgs,
        /// All there is, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget old binlog files, on all nodes; ask the leader
    Purge {
        #[command(flatten)]
        node: NodeArgs,
        /// Everything before this binlog file goes, as with PURGE BINARY LOGS TO
        #[arg(long, value_name = "FILE")]
        to: String,
    },
    /// Have another voter lead; ask the leader
    HandOver {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Name, show or leave the source that the cluster follows
    Source {
        #[command(subcommand)]
        command: SourceCommand,
    },
    /// Show or change which nodes belong to the cluster; changes are asked of the leader
    Members {
        #[command(subcommand)]
        command: MembersCommand,
    },
}

#[derive(Debug, Subcommand)]
enum MembersCommand {
    /// List the members
    List {
        #[command(flatten)]
        node: NodeArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a node as a learner: it gets the log and serves replicas, and has no vote
    Add {
        #[command(flatten)]
        node: NodeArgs,
        /// Its cluster.id
        id: u64,
        /// Where other nodes reach it
        address: String,
    },
    /// Make learners that have caught up voters
    Promote {
        #[command(flatten)]
        node: NodeArgs,
        /// Their numbers
        #[arg(required = true)]
        ids: Vec<u64>,
        /// Remove this node in the same step; may be repeated
        #[arg(long, value_name = "ID")]
        remove: Vec<u64>,
    },
    /// Make voters learners
    Demote {
        #[command(flatten)]
        node: NodeArgs,
        /// Their numbers
        #[arg(required = true)]
        ids: Vec<u64>,
    },
    /// Remove nodes from the cluster
    Remove {
        #[command(flatten)]
        node: NodeArgs,
        /// Their numbers
        #[arg(required = true)]
        ids: Vec<u64>,
    },
}

#[derive(Debug, Subcommand)]
enum SourceCommand {
    /// Follow this source from now on
    Set {
        #[command(flatten)]
        node: NodeArgs,
        #[command(flatten)]
        source: Box<SourceArgs>,
    },
    /// Follow no source; what is stored stays and is served
    Stop {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show the source
    Show {
        #[command(flatten)]
        node: NodeArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which node to ask.
#[derive(Debug, Args)]
struct NodeArgs {
    /// The node's admin.listen
    #[arg(long, value_name = "ADDRESS", env = "KINGBUS_ADMIN", default_value = ADMIN_DEFAULT)]
    admin: String,
    /// File with the node's admin.token; or KINGBUS_ADMIN_TOKEN in the environment
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SourceArgs {
    /// Name or address
    #[arg(long)]
    host: String,
    /// TCP port
    #[arg(long, default_value_t = 3306)]
    port: u16,
    /// Account with REPLICATION SLAVE
    #[arg(long)]
    user: String,
    /// File with its password; or KINGBUS_SOURCE_PASSWORD in the environment
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Where an empty store begins: earliest, now, or a GTID set
    #[arg(long, default_value = "earliest")]
    start: String,
    /// Do not be a semi-synchronous replica
    #[arg(long)]
    no_semi_sync: bool,
}

impl Cli {
    /// Does what the command line says. Error: one text for the user.
    pub fn run(self) -> Result<(), String> {
        match self.command {
            Command::Serve {
                config,
                record,
                record_mib_max,
            } => {
                let mut config = Config::load(&config).map_err(|error| error.to_string())?;
                config.record = record.map(|file| Record {
                    file,
                    bytes_max: record_mib_max.saturating_mul(1 << 20),
                });
                serve::run(&config)
            }
            Command::Status { node, json } => {
                let value = node.client()?.ask(Method::Get, "/status")?;
                if json {
                    return say(&pretty(&value));
                }
                let status: Status = serde_json::from_value(value).map_err(|error| {
                    format!("a status of another version ({error}): use --json")
                })?;
                say(&show::status(&status))
            }
            Command::Purge { node, to } => {
                let body = json!({ "to": to });
                node.client()?.ask(Method::Post(body), "/purge")?;
                say("done: a majority of the nodes knows; each deletes its files by itself\n")
            }
            Command::HandOver { node } => {
                node.client()?.ask(Method::Post(json!({})), "/handover")?;
                say("done: another node leads\n")
            }
            Command::Source { command } => command.run(),
            Command::Members { command } => command.run(),
        }
    }
}

impl SourceCommand {
    fn run(self) -> Result<(), String> {
        match self {
            SourceCommand::Set { node, source } => {
                node.client()?.ask(Method::Put(source.body()?), "/source")?;
                say("done: a majority of the nodes has it\n")
            }
            SourceCommand::Stop { node } => {
                node.client()?.ask(Method::Delete, "/source")?;
                say("done: no source is followed\n")
            }
            SourceCommand::Show { node, json } => {
                let value = node.client()?.ask(Method::Get, "/source")?;
                if json {
                    return say(&pretty(&value));
                }
                let source: SourceStatus = serde_json::from_value(value).map_err(|error| {
                    format!("a source of another version ({error}): use --json")
                })?;
                say(&(show::source(&source) + "\n"))
            }
        }
    }
}

impl MembersCommand {
    fn run(self) -> Result<(), String> {
        let (node, changes) = match self {
            MembersCommand::List { node, json } => {
                let value = node.client()?.ask(Method::Get, "/members")?;
                if json {
                    return say(&pretty(&value));
                }
                let members: Vec<MemberStatus> = serde_json::from_value(value)
                    .map_err(|error| format!("members of another version ({error}): use --json"))?;
                return say(&members.iter().map(show::member).collect::<String>());
            }
            MembersCommand::Add { node, id, address } => {
                (node, vec![Change::Add { node: id, address }])
            }
            MembersCommand::Promote { node, ids, remove } => {
                let promoted = ids.into_iter().map(Change::Promote);
                let removed = remove.into_iter().map(Change::Remove);
                (node, promoted.chain(removed).collect())
            }
            MembersCommand::Demote { node, ids } => {
                (node, ids.into_iter().map(Change::Demote).collect())
            }
            MembersCommand::Remove { node, ids } => {
                (node, ids.into_iter().map(Change::Remove).collect())
            }
        };
        let body = serde_json::to_value(changes).expect("changes are always encodable");
        node.client()?.ask(Method::Post(body), "/members")?;
        say("done: a majority of the voters knows it\n")
    }
}

impl NodeArgs {
    fn client(&self) -> Result<Client, String> {
        let token = secret(
            self.token_file.as_ref(),
            "--token-file",
            "KINGBUS_ADMIN_TOKEN",
        )?;
        Ok(Client::new(&self.admin, token))
    }
}

impl SourceArgs {
    /// The body of `PUT /source`.
    fn body(&self) -> Result<Value, String> {
        parse_start(&self.start).map_err(|text| format!("--start: {text}"))?;
        let variable = "KINGBUS_SOURCE_PASSWORD";
        let password = secret(self.password_file.as_ref(), "--password-file", variable)?;
        let password = password
            .ok_or_else(|| format!("no password: give --password-file FILE, or set {variable}"))?;
        Ok(json!({
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": password.reveal(),
            "start": self.start,
            "semi_sync": !self.no_semi_sync,
        }))
    }
}

/// A secret from a file or the environment.
fn secret(file: Option<&PathBuf>, option: &str, variable: &str) -> Result<Option<Secret>, String> {
    let Some(file) = file else {
        return Ok(std::env::var(variable).ok().map(Secret::new));
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("{option} {}: {error}", file.display()))?;
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn say(text: &str) -> Result<(), String> {
    let said = std::io::stdout().write_all(text.as_bytes());
    said.map_err(|error| format!("the output cannot be written: {error}"))
}
