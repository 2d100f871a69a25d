//! From the TOML file to a [`Config`]: where secrets come from, what cannot be, and what to do then.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use kingbus_core::gtid::Uuid;
use kingbus_core::node::config::{RETAIN_SLACK_BYTES_DEFAULT, SEGMENT_BYTES_DEFAULT};

use super::sections::{
    AdminSection, ClusterSection, File, IdentitySection, ReplicasSection, SourceSection,
};
use super::{
    ADMIN_DEFAULT, Admin, CONNECTIONS_MAX_DEFAULT, Cluster, Config, ConfigError, Identity,
    Replicas, SERVER_ID_DEFAULT, Source, parse_start,
};
use crate::secret::{SECRET_BYTES_MIN, Secret};

const SEGMENT_MIB_RANGE: std::ops::RangeInclusive<u64> = 8..=4096;
const NODES_MAX: usize = 7;

/// Where errors come from.
struct Reading<'a> {
    file: &'a Path,
    env: &'a dyn Fn(&str) -> Option<String>,
}

pub(super) fn parse(
    path: &Path,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let at = Reading { file: path, env };
    let file: File = toml::from_str(text).map_err(|error| at.unreadable(text, &error))?;
    let cluster = file
        .cluster
        .map(|section| at.cluster(section))
        .transpose()?;
    let identity = at.identity(file.identity, cluster.is_some())?;
    let segment_mib = file.segment_mib.unwrap_or(SEGMENT_BYTES_DEFAULT >> 20);
    if !SEGMENT_MIB_RANGE.contains(&segment_mib) {
        return Err(at.error("segment_mib", "must be 8 to 4096; leave it out for 256"));
    }
    Ok(Config {
        data: file.data,
        segment_bytes: segment_mib << 20,
        retain_bytes: file.retain_bytes,
        retain_slack_bytes: file
            .retain_slack_bytes
            .unwrap_or(RETAIN_SLACK_BYTES_DEFAULT),
        replicas: at.replicas(file.replicas)?,
        admin: at.admin(file.admin)?,
        identity,
        source: file.source.map(|section| at.source(section)).transpose()?,
        cluster,
        record: None,
    })
}

/// Whether this is `HOST:PORT`.
pub fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// What is wrong with a value, without the value: a password may be of the wrong type.
fn without_value(message: &str) -> String {
    match (message.split_once(": "), message.rsplit_once(", expected ")) {
        (Some((what @ ("invalid type" | "invalid value"), _)), Some((_, expected))) => {
            format!("{what}, expected {expected}")
        }
        _ => message.to_owned(),
    }
}

impl Reading<'_> {
    fn error(&self, key: &str, text: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            key: key.to_owned(),
            text: text.into(),
        }
    }

    /// The text of the error alone: the lines around it may hold a password.
    fn unreadable(&self, text: &str, error: &toml::de::Error) -> ConfigError {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| 1 + before.matches('\n').count());
        let what = without_value(error.message());
        self.error(
            "",
            format!("line {line}: {what}; kingbus.example.toml shows every key"),
        )
    }

    /// A secret given by value, by file or, when neither is there, in the environment.
    fn secret(
        &self,
        key: &str,
        value: Option<String>,
        file: Option<PathBuf>,
        variable: &str,
    ) -> Result<Option<Secret>, ConfigError> {
        match (value, file) {
            (Some(_), Some(_)) => {
                Err(self.error(key, format!("given twice: remove it or {key}_file")))
            }
            (Some(value), None) => Ok(Some(Secret::new(value))),
            (None, Some(file)) => match std::fs::read_to_string(&file) {
                Ok(text) => Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n'])))),
                Err(error) => Err(self.error(
                    &format!("{key}_file"),
                    format!(
                        "cannot read {}: {error}. Name a file that this user may read",
                        file.display()
                    ),
                )),
            },
            (None, None) => Ok((self.env)(variable).map(Secret::new)),
        }
    }

    fn needed(
        &self,
        key: &str,
        value: Option<String>,
        file: Option<PathBuf>,
        variable: &str,
    ) -> Result<Secret, ConfigError> {
        self.secret(key, value, file, variable)?.ok_or_else(|| {
            self.error(
                key,
                format!("missing: set it, or {key}_file, or the variable {variable}"),
            )
        })
    }

    /// `HOST:PORT`; names are looked up when they are used.
    fn address(&self, key: &str, text: &str) -> Result<String, ConfigError> {
        match is_address(text) {
            true => Ok(text.to_owned()),
            false => Err(self.error(
                key,
                format!("`{text}` is not HOST:PORT, such as 0.0.0.0:3307"),
            )),
        }
    }

    fn name(&self, key: &str, text: String) -> Result<String, ConfigError> {
        if text.trim().is_empty() {
            Err(self.error(key, "empty: give a name"))
        } else {
            Ok(text)
        }
    }

    fn replicas(&self, section: ReplicasSection) -> Result<Replicas, ConfigError> {
        let connections_max = section.connections_max.unwrap_or(CONNECTIONS_MAX_DEFAULT);
        if connections_max == 0 {
            return Err(self.error("replicas.connections_max", "must be at least 1"));
        }
        let password = self.needed(
            "replicas.password",
            section.password,
            section.password_file,
            "KINGBUS_REPLICAS_PASSWORD",
        )?;
        if password.reveal().is_empty() {
            let text = "empty: anybody could read the binlog; give the account a password";
            return Err(self.error("replicas.password", text));
        }
        Ok(Replicas {
            listen: self.address("replicas.listen", &section.listen)?,
            user: self.name("replicas.user", section.user)?,
            password,
            connections_max,
        })
    }

    fn admin(&self, section: AdminSection) -> Result<Admin, ConfigError> {
        let key = "admin.listen";
        let text = section.listen.unwrap_or_else(|| ADMIN_DEFAULT.to_owned());
        let text = self.address(key, &text)?;
        let found = text
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next());
        let listen: SocketAddr = found.ok_or_else(|| {
            self.error(
                key,
                format!("`{text}` names no address of this machine; give an IP address"),
            )
        })?;
        let token = self.secret(
            "admin.token",
            section.token,
            section.token_file,
            "KINGBUS_ADMIN_TOKEN",
        )?;
        let token = token.filter(|token| !token.reveal().is_empty());
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(self.error(
                "admin.token",
                format!(
                    "missing, and admin.listen = {text} can be reached by others: set admin.token or \
                     admin.token_file, or listen on 127.0.0.1"
                ),
            ));
        }
        Ok(Admin { listen, token })
    }

    fn identity(&self, section: IdentitySection, cluster: bool) -> Result<Identity, ConfigError> {
        let why = "all nodes of a cluster appear as one server: set it, the same on every node";
        if cluster && section.server_id.is_none() {
            return Err(self.error("identity.server_id", format!("missing; {why}")));
        }
        if cluster && section.server_uuid.is_none() {
            return Err(self.error(
                "identity.server_uuid",
                format!("missing; {why} (see uuidgen)"),
            ));
        }
        let server_id = section.server_id.unwrap_or(SERVER_ID_DEFAULT);
        if server_id == 0 {
            return Err(self.error("identity.server_id", "must be 1 to 4294967295"));
        }
        let server_uuid = section.server_uuid.map(|text| {
            text.parse::<Uuid>().map_err(|_| {
                let text = format!("`{text}` is not a UUID; make one with uuidgen");
                self.error("identity.server_uuid", text)
            })
        });
        Ok(Identity {
            server_id,
            server_uuid: server_uuid.transpose()?,
        })
    }

    fn source(&self, section: SourceSection) -> Result<Source, ConfigError> {
        if section.port == 0 {
            return Err(self.error("source.port", "must be 1 to 65535; leave it out for 3306"));
        }
        let start = parse_start(&section.start).map_err(|text| self.error("source.start", text))?;
        Ok(Source {
            host: self.name("source.host", section.host)?,
            port: section.port,
            user: self.name("source.user", section.user)?,
            password: self.needed(
                "source.password",
                section.password,
                section.password_file,
                "KINGBUS_SOURCE_PASSWORD",
            )?,
            start,
            semi_sync: section.semi_sync,
        })
    }

    fn cluster(&self, section: ClusterSection) -> Result<Cluster, ConfigError> {
        let mut nodes = BTreeMap::new();
        for node in section.nodes {
            if node.id == 0 {
                return Err(self.error("cluster.nodes", "a node's id must be 1 or more"));
            }
            let address = self.address("cluster.nodes", &node.address)?;
            if nodes.values().any(|known| *known == address) {
                let text = format!("two nodes have the address {address}; each needs its own");
                return Err(self.error("cluster.nodes", text));
            }
            if nodes.insert(node.id, address).is_some() {
                let text = format!("two nodes have the id {}; number them 1, 2, 3", node.id);
                return Err(self.error("cluster.nodes", text));
            }
        }
        if nodes.len() > NODES_MAX {
            let text = format!("{} nodes; at most {NODES_MAX}, best 3 or 5", nodes.len());
            return Err(self.error("cluster.nodes", text));
        }
        let Some(own) = nodes.get(&section.id) else {
            let text = format!(
                "node {} is not among cluster.nodes; add it there",
                section.id
            );
            return Err(self.error("cluster.id", text));
        };
        let listen = section.listen.unwrap_or_else(|| own.clone());
        let secret = self.needed(
            "cluster.secret",
            section.secret,
            section.secret_file,
            "KINGBUS_CLUSTER_SECRET",
        )?;
        if secret.reveal().len() < SECRET_BYTES_MIN {
            let text = format!(
                "shorter than {SECRET_BYTES_MIN} bytes; make one with `openssl rand -hex 32`, the same \
                 on every node"
            );
            return Err(self.error("cluster.secret", text));
        }
        let listen = self.address("cluster.listen", &listen)?;
        Ok(Cluster {
            id: section.id,
            listen,
            nodes,
            join: section.join,
            secret,
        })
    }
}
