//! A node's host: `kingbus serve`, from the text of its configuration on.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use kingbus::config::Config;
use kingbus::folder::Folder;
use kingbus::serve;
use tokio::sync::Notify;

use super::plan::{NODES, node_host};
use super::world::World;

pub(super) const PEER_PORT: u16 = 7307;
pub(super) const REPLICA_PORT: u16 = 3307;
pub(super) const ADMIN_PORT: u16 = 9306;
pub(super) const ADMIN_TOKEN: &str = "the token of operators";
pub(super) const USER: &str = "repl";
pub(super) const PASSWORD: &str = "of replicas";

/// The configuration of a node, as an operator writes it.
fn config(node: usize, data: &Path) -> String {
    let address = |id| {
        format!(
            "{{ id = {id}, address = \"{}:{PEER_PORT}\" }}",
            node_host(id)
        )
    };
    let nodes: Vec<String> = (1..=NODES).map(address).collect();
    format!(
        r#"
data = "{}"
[replicas]
listen = "0.0.0.0:{REPLICA_PORT}"
user = "{USER}"
password = "{PASSWORD}"
[admin]
listen = "0.0.0.0:{ADMIN_PORT}"
token = "{ADMIN_TOKEN}"
[identity]
server_id = 33070
server_uuid = "0d7e1b9a-5b1f-4d3f-9c55-2f6c1a6e8a01"
[cluster]
id = {node}
listen = "0.0.0.0:{PEER_PORT}"
secret = "a secret of many bytes"
nodes = [{}]
"#,
        data.display(),
        nodes.join(", ")
    )
}

/// What a host runs until it crashes, or is told to stop.
pub(super) async fn run(world: World, node: usize, data: PathBuf) -> turmoil::Result {
    let stop = Rc::new(Notify::new());
    world.state().stops[node - 1] = Some(stop.clone());
    let text = config(node, &data);
    let config = Config::parse(Path::new("kingbus.toml"), &text, &|_| None)?;
    // Shorter than an operator may choose, so that a run has several.
    let config = Config {
        segment_bytes: world.state().plan.segment_bytes,
        ..config
    };
    let folder = Folder::open(&config.data)?;
    serve::serve(&config, &folder, stop.notified()).await?;
    world.state().stopped[node - 1] = true;
    // What is left of the process ends with the host.
    std::future::pending().await
}
