//! A child process and its log.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A child process whose output goes to a log file. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts it; its output is appended to `log`.
    pub fn start(name: &str, command: Command, log: &Path) -> Process {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap_or_else(|e| panic!("cannot write {}: {e}", log.display()));
        let mut command = ends_with_us(&command);
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle of the log"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name} as {command:?}: {e}"));
        Process {
            child,
            name: name.to_owned(),
            log: log.to_owned(),
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Some if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked for")
    }

    /// As a crash ends it: SIGKILL, and gone on return.
    pub fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub fn terminate(&mut self, bound: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        let name = self.name.clone();
        wait::until(&format!("{name} ends after SIGTERM"), bound, || {
            self.ended()
        })
    }

    /// Stops it from running (SIGSTOP); its connections stay open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it run again (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process number");
        let pid = Pid::from_raw(id).expect("a process number");
        let name = &self.name;
        kill_process(pid, signal).unwrap_or_else(|e| panic!("{name}: cannot send {signal:?}: {e}"));
    }

    /// The highest resident size it ever had, in bytes.
    pub fn resident_bytes_peak(&self) -> u64 {
        self.proc_value("status", "VmHWM:") * 1024
    }

    /// Bytes it caused to be written to disk.
    pub fn written_bytes(&self) -> u64 {
        self.proc_value("io", "write_bytes:")
    }

    /// Bytes that are resident now.
    pub fn resident_bytes(&self) -> u64 {
        self.proc_value("status", "VmRSS:") * 1024
    }

    /// Processor time it used so far, its threads included.
    pub fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {path}: {e}"));
        // Fields 14 and 15, counted behind the name in brackets, in hundredths of a second.
        let rest = text.rsplit(')').next().unwrap_or_default();
        let fields = rest.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    fn proc_value(&self, file: &str, key: &str) -> u64 {
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {path}: {e}"));
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("no {key} in {path}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {}: last lines of {}", self.name, self.log.display());
            eprintln!("{}", tail(&self.log, 25));
        }
    }
}

/// The same command, killed by the kernel when this process ends without dropping it.
fn ends_with_us(command: &Command) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    let mut wrapped = if setpriv.exists() {
        let mut wrapped = Command::new(setpriv);
        wrapped.arg("--pdeathsig=KILL").arg(command.get_program());
        wrapped
    } else {
        Command::new(command.get_program())
    };
    wrapped.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// The last lines of a text file; nothing when it cannot be read.
pub fn tail(file: &Path, lines: usize) -> String {
    let bytes = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
