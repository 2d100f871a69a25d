//! kingbus nodes as processes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{self, Response};
use crate::mysqld::REPL;
use crate::process::Process;
use crate::proxy::{Mode, Proxy};
use crate::scratch::Scratch;
use crate::wait::seconds;
use crate::{ports, programs, wait};

/// Bound for a cluster to agree on a leader and serve.
const READY: Duration = Duration::from_secs(30);

/// The server UUID of all clusters.
pub const SERVER_UUID: &str = "4b1d0c0f-57a1-11ef-a8a1-0242ac120002";

/// Of all clusters.
const SECRET: &str = "a secret of these tests, long enough";

/// One node: its folder, its ports, and its process while it runs.
#[derive(Debug)]
pub struct Node {
    /// From 1.
    pub id: usize,
    folder: PathBuf,
    replicas: u16,
    admin: u16,
    process: Option<Process>,
    /// Starts the program in another way, for example with less disk; see [`Node::wrap`].
    wrap: Vec<String>,
    /// Where what it is told is recorded.
    record: Option<PathBuf>,
}

impl Node {
    /// Starts its process; see [`Cluster::wait_serving`].
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "node {} is running", self.id);
        let mut command = match self.wrap.split_first() {
            None => Command::new(programs::kingbus()),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(programs::kingbus());
                command
            }
        };
        command
            .arg("serve")
            .arg("--config")
            .arg(self.folder.join("kingbus.toml"));
        if let Some(file) = &self.record {
            command.arg("--record").arg(file);
        }
        command.env_remove("KINGBUS_ADMIN");
        let name = format!("node {}", self.id);
        self.process = Some(Process::start(&name, command, &self.log_file()));
    }

    /// Puts a program before kingbus, which must `exec` its last arguments.
    pub fn wrap(&mut self, program: &[&str]) {
        self.wrap = program.iter().map(|&word| word.to_owned()).collect();
    }

    /// Records what it is told from its next start on; returns the file.
    pub fn record(&mut self) -> PathBuf {
        let file = self.folder.join("recording");
        self.record = Some(file.clone());
        file
    }

    /// As a crash ends it.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        self.process.take().expect("running").terminate(seconds(20));
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("running")
    }

    /// Whether it has a process that has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.ended().is_none())
    }

    /// The port for replicas.
    pub fn port(&self) -> u16 {
        self.replicas
    }

    /// The port of the admin interface.
    pub fn admin(&self) -> u16 {
        self.admin
    }

    /// Its folder of data.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("kingbus.toml")
    }

    /// Its log.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// `GET /status`; None while it does not answer.
    pub fn status(&self) -> Option<Value> {
        let response = http::request(self.admin, "GET", "/status", "").ok()?;
        serde_json::from_str(&response.body).ok()
    }

    /// A text out of the status, by a path such as `/source/error`; None when there is none.
    pub fn text(&self, pointer: &str) -> Option<String> {
        self.status()?.pointer(pointer)?.as_str().map(str::to_owned)
    }

    /// Whether it says that it serves replicas.
    pub fn serves(&self) -> bool {
        self.status()
            .is_some_and(|status| status["serving"] == true)
    }

    /// Runs the `kingbus` program against this node's admin port; its output, and whether it ended
    /// well.
    pub fn command(&self, arguments: &[&str], password: Option<&str>) -> (String, bool) {
        let mut command = Command::new(programs::kingbus());
        command
            .args(arguments)
            .env("KINGBUS_ADMIN", format!("127.0.0.1:{}", self.admin));
        if let Some(password) = password {
            command.env("KINGBUS_SOURCE_PASSWORD", password);
        }
        let output = command
            .output()
            .unwrap_or_else(|e| panic!("cannot run kingbus: {e}"));
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (text, output.status.success())
    }
}

/// One or three nodes.
#[derive(Debug)]
pub struct Cluster {
    /// In the order of their ids.
    pub nodes: Vec<Node>,
    /// `(from, to, link)`, where links are asked for: indexes into `nodes`.
    links: Vec<(usize, usize, Proxy)>,
}

impl Cluster {
    /// Starts `count` nodes that reach each other directly, and waits until they have a leader.
    pub fn start(scratch: &Scratch, count: usize) -> Cluster {
        let mut cluster = Cluster::prepare(scratch, count, false);
        cluster.start_all();
        cluster.leader();
        cluster
    }

    /// Like [`start`](Self::start), with a link that can be cut between each two nodes.
    pub fn start_with_links(scratch: &Scratch, count: usize) -> Cluster {
        let mut cluster = Cluster::prepare(scratch, count, true);
        cluster.start_all();
        cluster.leader();
        cluster
    }

    /// Writes the configurations, and starts nothing yet.
    pub fn prepare(scratch: &Scratch, count: usize, with_links: bool) -> Cluster {
        let peers: Vec<u16> = (0..count).map(|_| ports::free()).collect();
        let mut links = Vec::new();
        if with_links {
            for from in 0..count {
                for to in (0..count).filter(|&to| to != from) {
                    links.push((from, to, Proxy::start(peers[to])));
                }
            }
        }
        let nodes = (0..count)
            .map(|at| {
                let link = |to| links.iter().find(|link| link.0 == at && link.1 == to);
                let addresses: Vec<u16> = (0..count)
                    .map(|to| link(to).map_or(peers[to], |l| l.2.port()))
                    .collect();
                prepare_node(
                    &scratch.folder(&format!("node{}", at + 1)),
                    at + 1,
                    &addresses,
                )
            })
            .collect();
        Cluster { nodes, links }
    }

    /// Starts a further node, which has to be added to the cluster; returns where others reach it.
    pub fn join(&mut self, scratch: &Scratch) -> String {
        let (id, port) = (self.nodes.len() + 1, ports::free());
        let folder = scratch.folder(&format!("node{id}"));
        let mut node = prepare_node(&folder, id, &[]);
        let address = format!("127.0.0.1:{port}");
        let config = fs::read_to_string(node.config()).expect("just written");
        let cluster = format!(
            "[cluster]\nid = {id}\nsecret = \"{SECRET}\"\njoin = true\n\
             nodes = [{{ id = {id}, address = \"{address}\" }}]\n"
        );
        fs::write(node.config(), config + &cluster).expect("a configuration file");
        node.start();
        self.nodes.push(node);
        address
    }

    /// Starts all that do not run.
    pub fn start_all(&mut self) {
        for node in &mut self.nodes {
            if !node.is_running() {
                node.kill();
                node.start();
            }
        }
    }

    /// Which node (an index) is the leader, by the word of a majority.
    pub fn leader(&self) -> usize {
        wait::until("a majority names one leader", READY, || self.leader_now())
    }

    fn leader_now(&self) -> Option<usize> {
        let named: Vec<u64> = self
            .nodes
            .iter()
            .filter(|node| node.process.is_some())
            .filter_map(|node| node.status()?["leader"].as_u64())
            .collect();
        let at = self.nodes.iter().position(|node| {
            let votes = named.iter().filter(|&&id| id == node.id as u64).count();
            votes > self.nodes.len() / 2
        })?;
        self.nodes[at].process.is_some().then_some(at)
    }

    /// Waits until another than `old` leads; for an old leader that is dead or cut off.
    pub fn leader_other_than(&self, old: usize) -> usize {
        wait::until("another node leads", READY, || {
            self.leader_now().filter(|&at| at != old)
        })
    }

    /// Waits until all running nodes serve replicas.
    pub fn wait_serving(&self) {
        wait::until("all nodes serve", seconds(60), || {
            let mut running = self.nodes.iter().filter(|node| node.process.is_some());
            running.all(Node::serves).then_some(())
        });
    }

    /// Makes it follow a source on 127.0.0.1 as [`REPL`]; `start` is `earliest`, `now` or a GTID set.
    pub fn follow(&self, port: u16, start: &str) {
        let body = json!({
            "host": "127.0.0.1", "port": port, "user": REPL, "password": REPL, "start": start,
        });
        self.put_source(&body);
    }

    /// `PUT /source` at the leader, until it is done.
    pub fn put_source(&self, body: &Value) {
        wait::until("the source is set", READY, || {
            let response = self.admin("PUT", "/source", &body.to_string())?;
            let code = response.code;
            assert!(
                (200..300).contains(&code) || code == 503,
                "PUT /source: {response:?}"
            );
            (code != 503).then_some(())
        });
    }

    /// Asks the leader; None when there is none or it does not answer.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> Option<Response> {
        let leader = &self.nodes[self.leader_now()?];
        http::request(leader.admin, method, path, body).ok()
    }

    /// Waits until the leader says that the source is in this state.
    pub fn wait_source(&self, state: &str, bound: Duration) -> Value {
        wait::until(&format!("the source is {state}"), bound, || {
            let status = self.nodes[self.leader_now()?].status()?;
            (status["source"]["state"] == state).then_some(status)
        })
    }

    /// Waits until every running node has this executed set.
    pub fn wait_executed(&self, executed: &str, bound: Duration) {
        for node in self.nodes.iter().filter(|node| node.process.is_some()) {
            wait::until(&format!("node {} has {executed}", node.id), bound, || {
                (node.text("/executed")? == executed).then_some(())
            });
        }
    }

    /// Changes the links between one node and all others, both ways.
    pub fn set_links(&self, at: usize, mode: Mode) {
        for (_, _, link) in self
            .links
            .iter()
            .filter(|link| link.0 == at || link.1 == at)
        {
            link.set(mode);
        }
    }

    /// How long everything between nodes takes from now on, one way.
    pub fn set_distance(&self, delay: Duration) {
        for (_, _, link) in &self.links {
            link.set_delay(delay);
        }
    }

    /// The ports for replicas of all nodes.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(Node::port).collect()
    }
}

fn prepare_node(folder: &Path, id: usize, addresses: &[u16]) -> Node {
    let replicas = ports::free();
    let admin = ports::free();
    let mut text = format!(
        "data = \"{}/data\"\n\
         [replicas]\nlisten = \"127.0.0.1:{replicas}\"\nuser = \"{REPL}\"\npassword = \"{REPL}\"\n\
         [admin]\nlisten = \"127.0.0.1:{admin}\"\n\
         [identity]\nserver_id = 33070\n\
         server_uuid = \"{SERVER_UUID}\"\n",
        folder.display(),
    );
    if addresses.len() > 1 {
        text.push_str(&format!(
            "[cluster]\nid = {id}\nsecret = \"{SECRET}\"\nnodes = [\n"
        ));
        for (at, port) in addresses.iter().enumerate() {
            writeln!(
                text,
                "  {{ id = {}, address = \"127.0.0.1:{port}\" }},",
                at + 1
            )
            .expect("a string takes all");
        }
        text.push_str("]\n");
    }
    fs::write(folder.join("kingbus.toml"), text).expect("a configuration file");
    Node {
        id,
        folder: folder.to_owned(),
        replicas,
        admin,
        process: None,
        wrap: Vec::new(),
        record: None,
    }
}
