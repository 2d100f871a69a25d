//! `kingbus serve`: opens the log, starts node and ports, and ends them in order.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use kingbus_core::auth::Password;
use kingbus_core::gtid::Uuid;
use kingbus_core::log::Damage;
use kingbus_core::node::members::{Member, Members};
use kingbus_core::node::status::{DiskStatus, SourceStatus, Status};
use kingbus_core::node::{self, Node};
use kingbus_core::replica::{Account, Identity};
use kingbus_core::types::NodeId;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use crate::config::{self, Config};
use crate::disk::{self, Cache, Disk, Reader};
use crate::driver::{self, Driver, Inbox, Outlets};
use crate::folder::Folder;
use crate::http::{self, Answerer};
use crate::open_files;
use crate::opening::{self, Opened, Trouble};
use crate::os::{self, TcpListener};
use crate::peers::{self, Credentials, Heard, Peers};
use crate::recording::Recording;
use crate::replicas::{self, Registry};
use crate::requests::Requests;
use crate::secret::Keys;
use crate::serving::ServingState;
use crate::{journal, source};

/// Replicas are gone, and the disk has what it was given, in this time after the order to stop.
const STOP_TIMEOUT: Duration = Duration::from_millis(700);

/// Time for another process to let go of a port, and pause between tries.
const BIND_PATIENCE: Duration = Duration::from_secs(2);
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// Pause between looks whether the store wants the source of the configuration.
const SOURCE_PAUSE: Duration = Duration::from_millis(250);

/// Runs a node until it is told to stop. Error: one text for the operator.
pub fn run(config: &Config) -> Result<(), String> {
    start_log();
    open_files::check(config.replicas.connections_max, os::raise_open_files())?;
    let folder = Folder::open(&config.data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("the runtime cannot be started: {error}"))?;
    let ended = runtime.block_on(serve(config, &folder, asked_to_stop()));
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

/// Lines on standard error; `KINGBUS_LOG` chooses which, as `RUST_LOG` does elsewhere.
pub fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("KINGBUS_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // Fails only where a log is there already, in tests.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .try_init();
}

/// What a node has before its log is open.
struct Base<'a> {
    config: &'a Config,
    uuid: Uuid,
    keys: Keys,
    replicas: TcpListener,
    admin: TcpListener,
    peers: Option<TcpListener>,
    heard: Arc<Heard>,
}

/// Runs a node on an opened folder until `stop`, on the running runtime. Error: one text for the
/// operator.
pub async fn serve(
    config: &Config,
    folder: &Folder,
    stop: impl Future<Output = ()>,
) -> Result<(), String> {
    let uuid = folder.server_uuid(config)?;
    let secret = match &config.cluster {
        Some(cluster) => cluster.secret.clone(),
        None => folder.own_secret()?,
    };
    let peers = match &config.cluster {
        Some(cluster) => Some(bind("cluster.listen", &cluster.listen).await?),
        None => None,
    };
    let base = Base {
        config,
        uuid,
        keys: Keys::new(&secret),
        replicas: bind("replicas.listen", &config.replicas.listen).await?,
        admin: bind("admin.listen", &config.admin.listen.to_string()).await?,
        peers,
        heard: Arc::default(),
    };
    let data = folder.path().to_owned();
    let opened = os::blocking(move || opening::open(&data, uuid)).await;
    match opened.ok_or("the log cannot be opened; see above")? {
        Ok(opened) => base.run_node(opened, stop).await,
        Err(Trouble::Damaged(damage)) => base.run_damaged(&damage, stop).await,
        Err(Trouble::Failed(text)) => Err(text),
    }
}

/// Listens; the kernel may still be at work on a process that was killed.
async fn bind(key: &str, address: &str) -> Result<TcpListener, String> {
    let began = Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error)
                if error.kind() == ErrorKind::AddrInUse && began.elapsed() < BIND_PATIENCE =>
            {
                sleep(BIND_PAUSE).await;
            }
            Err(error) => {
                return Err(format!(
                    "{key} = {address}: cannot be listened on: {error}. Choose a free port of this \
                     machine"
                ));
            }
        }
    }
}

impl Base<'_> {
    async fn run_node(
        mut self,
        opened: Opened,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let config = self.config;
        let (inbox, answers, inputs) = driver::queues();
        let cache = Arc::new(Cache::new(disk::CACHE_BYTES_MAX));
        let reader = Reader::new(opened.files.clone(), cache, answers.clone());
        let requests = Arc::new(Requests::new(inbox.clone()));
        let serving = ServingState::not("this node has only just begun");
        let registry = Registry::default();
        let outlets = Outlets {
            peers: self.peers(&reader),
            source: source::Connector::new(self.source_identity(), inbox.clone()),
            replicas: registry.clone(),
            serving: serving.clone(),
            disk: Disk::start(opened.files, opened.index, &reader, answers),
            requests: requests.clone(),
        };
        let node_config = self.node_config();
        let record = config.record.as_ref();
        let begun = record.map(|record| Recording::begin(record, &node_config, &opened.recovered));
        let (recording, writing) = begun.transpose()?.unzip();
        let (stop_node, stopped) = oneshot::channel();
        let (ended_to, mut ended) = oneshot::channel();
        let node = Node::new(node_config, opened.recovered);
        let driver = Driver::new(node, inputs, outlets, recording);
        let hears = self.hear_peers(&inbox);
        let thread = os::spawn("node", async move {
            tokio::spawn(hears);
            // Nobody listens once the process is being stopped.
            let _ = ended_to.send(driver.run(stopped).await);
        });
        let own_source = config
            .source
            .clone()
            .map(|source| tokio::spawn(offer_source(source, self.keys.clone(), requests.clone())));
        tokio::spawn(journal::write(requests.clone()));
        let stopping = requests.clone();
        let ports = self.start_ports(
            Answerer::Node(requests),
            serving,
            Some(reader),
            inbox,
            registry,
        )?;
        let result = tokio::select! {
            biased;
            () = stop => Ok(()),
            ended = &mut ended => Err(match ended {
                Ok(Err(error)) => error.to_string(),
                Ok(Ok(())) | Err(_) => "the node failed; see the log above".to_owned(),
            }),
        };
        if result.is_ok() {
            hand_over(&stopping).await;
        }
        ports.stop().await;
        if let Some(task) = own_source {
            task.abort();
        }
        // A node that ended by itself hears nothing.
        let _ = stop_node.send(());
        if timeout(STOP_TIMEOUT, thread.ended()).await.is_err() {
            warn!("the disk is slow; what it has not written is not acknowledged either");
        } else if let Some(writing) = writing {
            os::blocking(|| writing.finish()).await;
        }
        result
    }

    /// Says what is wrong, on all ports, and neither votes nor serves.
    async fn run_damaged(
        self,
        damage: &Damage,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let text = format!(
            "{damage}. This node neither votes nor serves; the others go on without it while they are \
             a majority. Put back an intact copy of that file, then restart"
        );
        error!("{text}");
        let status = Arc::new(damaged_status(self.config.node(), damage, &text));
        let refusal = format!("the disk of this node cannot be trusted: {damage}");
        let serving = ServingState::not(refusal);
        let (inbox, _answers, _inputs) = driver::queues();
        let answerer = Answerer::Damaged(status);
        let ports = self.start_ports(answerer, serving, None, inbox, Registry::default())?;
        stop.await;
        ports.stop().await;
        Ok(())
    }

    fn node_config(&self) -> node::Config {
        let (config, uuid) = (self.config, self.uuid);
        let alone = BTreeMap::from([(config.node(), String::new())]);
        let nodes = config.cluster.as_ref().map_or(&alone, |c| &c.nodes);
        // A node that joins learns from the log who belongs to the cluster.
        let joins = config.cluster.as_ref().is_some_and(|c| c.join);
        let members = nodes.iter().filter(|_| !joins);
        let members = members.map(|(id, address)| Member::voter(NodeId(*id), address.as_str()));
        let [a, b, c, d, e, f, g, h, ..] = uuid.0;
        node::Config {
            id: NodeId(config.node()),
            members: Members::new(members.collect()),
            cluster: uuid,
            server_id: config.identity.server_id,
            seed: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            opening: os::random(),
            segment_bytes: config.segment_bytes,
            long_body_bytes: node::config::LONG_BODY_BYTES_DEFAULT,
            checkpoint_bytes: node::config::CHECKPOINT_BYTES_DEFAULT,
            recent_rows_max: node::config::RECENT_ROWS_MAX_DEFAULT,
            retain_bytes: config.retain_bytes,
            retain_slack_bytes: config.retain_slack_bytes,
        }
    }

    fn source_identity(&self) -> source::Identity {
        source::Identity {
            server_id: self.config.identity.server_id,
            server_uuid: self.uuid,
            port: self
                .replicas
                .local_addr()
                .map_or(0, |address| address.port()),
            keys: self.keys.clone(),
        }
    }

    fn peers(&self, reader: &Reader) -> Peers {
        let Some(cluster) = &self.config.cluster else {
            return Peers::default();
        };
        let nodes = cluster.nodes.iter();
        let nodes = nodes.map(|(id, address)| (NodeId(*id), address.clone()));
        let own = self.credentials();
        Peers::new(own, nodes.collect(), self.heard.clone(), reader.clone())
    }

    /// Takes the connections of other nodes, if it has a port for them.
    fn hear_peers(&mut self, inbox: &Inbox) -> impl Future<Output = ()> + Send + use<> {
        let listener = self.peers.take();
        let (own, heard, inbox) = (self.credentials(), self.heard.clone(), inbox.clone());
        async move {
            if let Some(listener) = listener {
                peers::listen(listener, own, heard, inbox).await;
            }
        }
    }

    fn credentials(&self) -> Credentials {
        Credentials {
            cluster: self.uuid,
            node: NodeId(self.config.node()),
            keys: self.keys.clone(),
        }
    }

    fn start_ports(
        self,
        answerer: Answerer,
        serving: ServingState,
        reader: Option<Reader>,
        inbox: Inbox,
        registry: Registry,
    ) -> Result<Ports, String> {
        let config = self.config;
        let (stop, stopped) = watch::channel(false);
        let password = Password::new(config.replicas.password.reveal().as_bytes());
        let port = replicas::Port {
            identity: Identity {
                server_id: config.identity.server_id,
                server_uuid: self.uuid,
            },
            account: Arc::new(Account::new(config.replicas.user.clone(), &password)),
            connections_max: config.replicas.connections_max,
            serving,
            reader,
            inbox,
            registry,
        };
        info!(
            "kingbus {}, node {}: replicas on {}, operators on {}",
            env!("CARGO_PKG_VERSION"),
            config.node(),
            config.replicas.listen,
            config.admin.listen
        );
        let replicas = tokio::spawn(port.listen(self.replicas, stopped));
        let token = config.admin.token.clone();
        tokio::spawn(
            http::Port {
                answerer,
                keys: self.keys,
                token,
                clustered: config.cluster.is_some(),
            }
            .listen(self.admin),
        );
        Ok(Ports { stop, replicas })
    }
}

/// The ports that are open.
struct Ports {
    stop: watch::Sender<bool>,
    replicas: JoinHandle<()>,
}

impl Ports {
    /// Sends the replicas away first, so that they look for another node at once.
    async fn stop(self) {
        self.stop.send_replace(true);
        if timeout(STOP_TIMEOUT, self.replicas).await.is_err() {
            warn!("some client connections were not closed in time");
        }
    }
}

/// A leader that stops has another node lead first, so that nobody has to wait for an election.
async fn hand_over(requests: &Requests) {
    match timeout(STOP_TIMEOUT, requests.hand_over()).await {
        Ok(Ok(())) => info!("another node leads now"),
        // It did not lead, or nobody can take the lead.
        Ok(Err(_)) => {}
        Err(_) => warn!("no other node took the lead in time"),
    }
}

async fn asked_to_stop() {
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let [Ok(mut terminate), Ok(mut interrupt)] = signals else {
        warn!("signals cannot be waited for; stop this process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("stopping");
}

/// Names the source of the configuration to a store that has none and nothing in it, on the leader.
async fn offer_source(source: config::Source, keys: Keys, requests: Arc<Requests>) {
    let mut told = None;
    while let Some(status) = requests.status().await {
        let empty = status.executed.is_empty() && status.binlog.file.is_empty();
        if status.source.state != "none" || !empty {
            return;
        }
        // What was said before is known once all is applied.
        if status.role == "leader" && status.applied == status.last {
            let new = http::NewSource {
                host: source.host.clone(),
                port: source.port,
                user: source.user.clone(),
                password: source.password.reveal().to_owned(),
                start: None,
                semi_sync: source.semi_sync,
            };
            let definition = http::definition(new, &keys).expect("the configuration is checked");
            let definition = node::catalog::SourceDefinition {
                start: source.start.clone(),
                ..definition
            };
            match requests.set_source(Some(definition)).await {
                Ok(()) => {
                    return info!(
                        "source {}:{} taken from the configuration",
                        source.host, source.port
                    );
                }
                Err(text) if told.as_ref() != Some(&text) => {
                    warn!("the source of the configuration is not taken yet: {text}");
                    told = Some(text);
                }
                Err(_) => {}
            }
        }
        sleep(SOURCE_PAUSE).await;
    }
}

fn damaged_status(node: u64, damage: &Damage, text: &str) -> Status {
    Status {
        node,
        role: "damaged".to_owned(),
        leader: None,
        term: 0,
        commit: 0,
        applied: 0,
        last: 0,
        serving: false,
        not_serving_because: Some(text.to_owned()),
        executed: Default::default(),
        purged: Default::default(),
        first: 0,
        first_file: None,
        binlog: Default::default(),
        source: SourceStatus {
            state: "none".to_owned(),
            host: None,
            port: None,
            user: None,
            version: None,
            error: None,
            semi_sync: false,
        },
        members: Vec::new(),
        replicas: Vec::new(),
        disk: DiskStatus {
            state: "damaged".to_owned(),
            error: Some(text.to_owned()),
            segment: damage.segment.0,
        },
    }
}
