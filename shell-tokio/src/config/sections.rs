//! The keys of the TOML file.

use std::path::PathBuf;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) data: PathBuf,
    #[serde(default)]
    pub(super) segment_mib: Option<u64>,
    pub(super) retain_bytes: Option<u64>,
    pub(super) retain_slack_bytes: Option<u64>,
    pub(super) replicas: ReplicasSection,
    #[serde(default)]
    pub(super) admin: AdminSection,
    #[serde(default)]
    pub(super) identity: IdentitySection,
    pub(super) source: Option<SourceSection>,
    pub(super) cluster: Option<ClusterSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplicasSection {
    pub(super) listen: String,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) connections_max: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminSection {
    pub(super) listen: Option<String>,
    pub(super) token: Option<String>,
    pub(super) token_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentitySection {
    pub(super) server_id: Option<u32>,
    pub(super) server_uuid: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceSection {
    pub(super) host: String,
    #[serde(default = "mysql_port")]
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) start: String,
    #[serde(default = "yes")]
    pub(super) semi_sync: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterSection {
    pub(super) id: u64,
    pub(super) listen: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) nodes: Vec<NodeEntry>,
    #[serde(default)]
    pub(super) join: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeEntry {
    pub(super) id: u64,
    pub(super) address: String,
}

fn mysql_port() -> u16 {
    3306
}

fn yes() -> bool {
    true
}
