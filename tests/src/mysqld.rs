//! A real MySQL server, as source or as replica.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use mysql::prelude::{FromRow, Queryable};
use mysql::{Conn, OptsBuilder, Row};

use crate::process::{Process, tail};
use crate::scratch::{Scratch, cache, copy_folder};
use crate::wait::seconds;
use crate::{ports, programs, wait};

/// The account that kingbus and replicas use, and its password.
pub const REPL: &str = "repl";

/// The flag that loads the plugin for [`Server::semi_sync_on`].
pub const SEMI_SYNC: &str = "--plugin-load-add=semisync_source.so";

/// Flags of every start. Tests end servers by signals, never by cutting the power, so what the
/// servers themselves sync does not matter.
const FLAGS: &[&str] = &[
    "--innodb-use-native-aio=0",
    "--innodb-buffer-pool-size=64M",
    "--innodb-redo-log-capacity=512M",
    "--innodb-doublewrite=OFF",
    "--innodb-flush-log-at-trx-commit=2",
    "--sync-binlog=0",
    "--performance-schema=OFF",
    "--skip-name-resolve",
    "--secure-file-priv=",
    "--loose-mysqlx=OFF",
    "--bind-address=127.0.0.1",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
];

/// A running (or stopped) server with its data folder.
///
/// Its users: `root` without a password by socket and by TCP, and [`REPL`].
#[derive(Debug)]
pub struct Server {
    name: String,
    folder: PathBuf,
    port: u16,
    flags: Vec<String>,
    process: Option<Process>,
}

impl Server {
    /// Starts a new, empty server in a folder `name`; `flags` win over the usual ones.
    pub fn start(scratch: &Scratch, name: &str, flags: &[&str]) -> Server {
        Server::start_in(&scratch.folder(name), name, flags)
    }

    /// Starts a new, empty server in this folder.
    pub fn start_in(folder: &Path, name: &str, flags: &[&str]) -> Server {
        let data = folder.join("data");
        let _ = fs::remove_dir_all(&data);
        copy_folder(&template(), &data).expect("a copy of the prepared data");
        Server::start_on(folder, name, flags)
    }

    /// Starts a server on `folder/data`, as an earlier server left it.
    pub fn start_on(folder: &Path, name: &str, flags: &[&str]) -> Server {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        let folder = folder.to_owned();
        let mut server = Server {
            name: name.to_owned(),
            folder,
            port: ports::free(),
            flags,
            process: None,
        };
        server.resume();
        server
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill`](Self::kill), on the same port.
    pub fn resume(&mut self) {
        assert!(self.process.is_none(), "{} is running", self.name);
        let mut command = Command::new(programs::mysqld());
        let folder = self.folder.display();
        command.arg("--no-defaults").args(FLAGS).args([
            format!("--datadir={folder}/data"),
            format!("--socket={}", self.socket().display()),
            format!("--pid-file={folder}/pid"),
            format!("--log-error={folder}/error.log"),
            format!("--log-bin={folder}/data/binlog"),
            format!("--relay-log={folder}/data/relay"),
            format!("--port={}", self.port),
            format!("--server-id={}", self.port),
        ]);
        as_root(&mut command);
        command.args(&self.flags);
        let process = Process::start(&self.name, command, &self.folder.join("error.log"));
        self.process = Some(process);
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let log = self.folder.join("error.log");
        let opts = self.options();
        let process = self.process.as_mut().expect("just started");
        wait::until(&format!("{} answers", self.name), seconds(120), || {
            let ended = process.ended();
            assert!(ended.is_none(), "{} ended: {}", self.name, tail(&log, 10));
            Conn::new(opts.clone()).ok()
        });
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        self.process.take().expect("running").terminate(seconds(60));
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.take().expect("running").kill();
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("running")
    }

    /// Its TCP port on 127.0.0.1, which is its server id too.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder: `data` and `error.log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Changes the flags of the next start.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|&flag| flag.to_owned()).collect();
    }

    /// Not in its folder: a socket's path must be short.
    fn socket(&self) -> PathBuf {
        std::env::temp_dir().join(format!("kingbus-{}.sock", self.port))
    }

    fn options(&self) -> OptsBuilder {
        let socket = self.socket().display().to_string();
        OptsBuilder::new()
            .user(Some("root"))
            .socket(Some(socket))
            .prefer_socket(false)
    }

    /// A new connection as root.
    pub fn connect(&self) -> Conn {
        Conn::new(self.options()).unwrap_or_else(|e| panic!("{}: cannot connect: {e}", self.name))
    }

    /// Executes statements one after the other on one new connection.
    ///
    /// # Panics
    /// At the first that fails.
    pub fn run(&self, statements: &[&str]) {
        let mut conn = self.connect();
        for statement in statements {
            conn.query_drop(statement)
                .unwrap_or_else(|e| panic!("{}: `{statement}` failed: {e}", self.name));
        }
    }

    /// The first row of a query.
    pub fn row<T: FromRow>(&self, query: &str) -> Option<T> {
        let answer = self.connect().query_first(query);
        answer.unwrap_or_else(|e| panic!("{}: `{query}` failed: {e}", self.name))
    }

    /// All rows of a query.
    pub fn rows<T: FromRow>(&self, query: &str) -> Vec<T> {
        let answer = self.connect().query(query);
        answer.unwrap_or_else(|e| panic!("{}: `{query}` failed: {e}", self.name))
    }

    /// Feeds a file of statements to the `mysql` program; statements that fail are passed over.
    pub fn run_file(&self, file: &Path) {
        let input = File::open(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let output = Command::new(programs::mysql_tool("mysql"))
            .args([
                "--no-defaults",
                "--user=root",
                "--force",
                "--default-character-set=utf8mb4",
            ])
            .arg(format!("--socket={}", self.socket().display()))
            .stdin(input)
            .output()
            .unwrap_or_else(|e| panic!("cannot run mysql: {e}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!errors.contains("Can't connect"), "{}: {errors}", self.name);
    }

    /// `@@gtid_executed`, on one line.
    pub fn executed(&self) -> String {
        let set: Option<String> = self.row("SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')");
        set.unwrap_or_default()
    }

    /// `@@server_uuid`.
    pub fn uuid(&self) -> String {
        self.row("SELECT @@GLOBAL.server_uuid")
            .expect("a server has a UUID")
    }

    /// Makes every commit wait for one acknowledgement, for up to an hour. Needs the flag
    /// [`SEMI_SYNC`]: who connected before the plugin was loaded does not acknowledge.
    pub fn semi_sync_on(&self) {
        self.run(&[
            "SET GLOBAL rpl_semi_sync_source_wait_for_replica_count = 1",
            "SET GLOBAL rpl_semi_sync_source_timeout = 3600000",
            "SET GLOBAL rpl_semi_sync_source_enabled = ON",
        ]);
    }

    /// The name of the binlog file that it writes to now.
    pub fn newest_binlog(&self) -> String {
        let row: Option<Row> = self.row("SHOW BINARY LOG STATUS");
        row.and_then(|row| row.get(0))
            .expect("a server has a binlog")
    }

    /// Bytes of all its binlog files.
    pub fn binlog_bytes(&self) -> u64 {
        let files: Vec<(String, u64, String)> = self.rows("SHOW BINARY LOGS");
        files.iter().map(|file| file.1).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process = None;
        let socket = self.socket();
        let _ = fs::remove_file(socket.with_extension("sock.lock"));
        let _ = fs::remove_file(socket);
    }
}

/// mysqld refuses to run as root unless told so.
fn as_root(command: &mut Command) {
    if rustix::process::getuid().is_root() {
        command.arg("--user=root");
    }
}

/// A data folder with users, made once for each version of the server and copied for each new one.
fn template() -> PathBuf {
    let folder = cache().join("templates");
    fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("cannot make {}: {e}", folder.display()));
    let lock = File::create(folder.join("lock")).expect("a lock file in the cache");
    lock.lock().expect("the lock of the prepared data");
    let name = version().replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    let ready = folder.join(name);
    if !ready.is_dir() {
        let fresh = Scratch::new("template");
        make_template(&fresh);
        let part = folder.join("part");
        let _ = fs::remove_dir_all(&part);
        copy_folder(&fresh.path().join("template/data"), &part).expect("a copy into the cache");
        fs::rename(&part, &ready).expect("a name for the prepared data");
    }
    ready
}

/// The version of the server in use.
pub fn version() -> String {
    let output = Command::new(programs::mysqld())
        .args(["--no-defaults", "--version"])
        .output();
    let output = output.unwrap_or_else(|e| panic!("cannot run mysqld: {e}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .split("Ver ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    version
        .unwrap_or_else(|| panic!("mysqld --version answered: {text}"))
        .to_owned()
}

fn make_template(scratch: &Scratch) {
    let folder = scratch.folder("template");
    let log = folder.join("error.log");
    let mut command = Command::new(programs::mysqld());
    command
        .arg("--no-defaults")
        .args(["--initialize-insecure", "--skip-log-bin"])
        .args([
            "--innodb-use-native-aio=0",
            "--innodb-redo-log-capacity=8M",
            &format!("--datadir={}/data", folder.display()),
        ]);
    as_root(&mut command);
    let mut process = Process::start("mysqld --initialize", command, &log);
    let ended = wait::until("mysqld --initialize ends", seconds(300), || process.ended());
    assert!(
        ended.success(),
        "mysqld --initialize failed: {}",
        tail(&log, 20)
    );

    let mut server = Server::start_on(&folder, "template", &["--innodb-redo-log-capacity=8M"]);
    server.run(&[
        "SET SESSION sql_log_bin = 0",
        "CREATE USER 'root'@'%'",
        "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION",
        "CREATE USER 'repl'@'%' IDENTIFIED BY 'repl'",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'repl'@'%'",
        "RESET BINARY LOGS AND GTIDS",
    ]);
    server.stop();
    for entry in fs::read_dir(folder.join("data"))
        .expect("the data folder")
        .flatten()
    {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Each server makes its own UUID and its own binlog.
        if name == "auto.cnf" || name.starts_with("binlog.") || name.starts_with("relay") {
            fs::remove_file(entry.path()).expect("a file of the prepared data");
        }
    }
}
