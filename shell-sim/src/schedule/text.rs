//! A schedule as text: one line a fact, `#` before remarks.
//!
//! ```text
//! title: leader crashes while it syncs
//! expect: torn_tail_cut
//! seed: 7
//! nodes: 3
//! set commit_us 5000
//! at 1200 crash leader syncing index suffix for 900
//! at 4000 isolate node 2 in for 2500
//! at 5000 members promote node 4 and remove leader
//! ```

use std::fmt;
use std::str::SplitWhitespace;

use super::limits::NODES_MAX;
use super::near::unknown;
use super::{
    Change, Fault, Hardware, IndexLoss, Moment, Schedule, Settings, Sides, Target, Upstream, What,
};
use crate::probe;

/// A line that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for TextError {}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.title.is_empty() {
            writeln!(f, "title: {}", self.title)?;
        }
        for probe in &self.expect {
            writeln!(f, "expect: {probe}")?;
        }
        writeln!(f, "seed: {}\nnodes: {}", self.seed, self.nodes)?;
        let usual = Settings::default().list();
        for (set, default) in self.settings.list().into_iter().zip(usual) {
            if set != default {
                writeln!(f, "set {} {}", set.0, set.1)?;
            }
        }
        self.faults
            .iter()
            .try_for_each(|fault| writeln!(f, "{fault}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} {}", self.at_ms, self.what)?;
        if self.for_ms > 0 {
            write!(f, " for {}", self.for_ms)?;
        }
        Ok(())
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Crash {
                target,
                moment,
                index,
            } => write!(f, "crash {target} {moment} index {index}"),
            What::CrashAll { index } => write!(f, "crash-all index {index}"),
            What::Pause { target } => write!(f, "pause {target}"),
            What::Isolate { target, sides } => write!(f, "isolate {target} {sides}"),
            What::Cut { from, to } => write!(f, "cut {from} to {to}"),
            What::SlowDisk { target, by_ms } => write!(f, "slow-disk {target} by {by_ms}"),
            What::FullDisk { target } => write!(f, "full-disk {target}"),
            What::Hardware(hardware) => hardware.fmt(f),
            What::SourceCrash => f.write_str("source-crash"),
            What::SourceCut { moment } => write!(f, "source-cut {moment}"),
            What::Rotate => f.write_str("rotate"),
            What::Transaction { bytes } => write!(f, "transaction {bytes}"),
            What::SetSource => f.write_str("set-source"),
            What::Upstream(upstream) => upstream.fmt(f),
            What::Members { changes } => {
                f.write_str("members")?;
                for (number, (change, target)) in changes.iter().enumerate() {
                    let and = if number == 0 { "" } else { " and" };
                    write!(f, "{and} {change} {target}")?;
                }
                Ok(())
            }
            What::Purge { keep } => write!(f, "purge keep {keep}"),
            What::HandOver => write!(f, "hand-over"),
            What::ReplicaCut { replica, moment } => write!(f, "replica-cut {replica} {moment}"),
            What::ReplicaLost { replica } => write!(f, "replica-lost {replica}"),
            What::ReplicaFresh { replica } => write!(f, "replica-fresh {replica}"),
            What::ReplicaHole { replica } => write!(f, "replica-hole {replica}"),
            What::ReplicaSlow { replica, by_ms } => write!(f, "replica-slow {replica} by {by_ms}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Node(id) => write!(f, "node {id}"),
            Target::Leader => f.write_str("leader"),
            Target::Follower => f.write_str("follower"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Change::Add => "add",
            Change::Promote => "promote",
            Change::Demote => "demote",
            Change::Remove => "remove",
        })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Now => f.write_str("now"),
            Moment::Syncing => f.write_str("syncing"),
            Moment::Effects(count) => write!(f, "effects {count}"),
            Moment::Inside => f.write_str("inside"),
            Moment::Starting => f.write_str("starting"),
        }
    }
}

impl fmt::Display for IndexLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IndexLoss::AllKept => "all-kept",
            IndexLoss::Kept => "kept",
            IndexLoss::Suffix => "suffix",
            IndexLoss::Lost => "lost",
        })
    }
}

impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sides::Both => "both",
            Sides::In => "in",
            Sides::Out => "out",
        })
    }
}

impl Schedule {
    /// Reads what [`Display`](fmt::Display) wrote, or a person.
    pub fn parse(text: &str) -> Result<Schedule, TextError> {
        let mut schedule = Schedule {
            nodes: 3,
            ..Schedule::default()
        };
        for (number, line) in text.lines().enumerate() {
            schedule
                .line(without_remark(line))
                .map_err(|what| TextError {
                    line: number + 1,
                    what,
                })?;
        }
        if let Some((names, what)) = schedule.contradiction() {
            let sets = |line: &str| {
                names
                    .iter()
                    .any(|name| line.starts_with(&format!("set {name} ")))
            };
            let lines = text.lines().enumerate();
            let line = lines.filter(|(_, line)| sets(without_remark(line))).last();
            let line = line.map_or(0, |(at, _)| at + 1);
            return Err(TextError { line, what });
        }
        schedule.faults.sort_by_key(|fault| fault.at_ms);
        if !schedule.keeps_majority() {
            let (damaged, nodes) = (schedule.damaged(), schedule.nodes);
            let most = schedule.damaged_max();
            return Err(TextError {
                line: text.lines().count(),
                what: format!("{damaged} nodes may be damaged; at most {most} of {nodes} may"),
            });
        }
        Ok(schedule)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some((key, value)) = line.split_once(": ") {
            return self.fact(key, value.trim());
        }
        let mut words = Words(line.split_whitespace());
        match words.0.next() {
            None => Ok(()),
            Some("set") => {
                let name = words.word("the name of a setting")?;
                let value = words.number("its value")?;
                if !self.settings.set(name, value) {
                    let known = self.settings.list();
                    let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                    return Err(unknown("setting", name, &known));
                }
                match Settings::beyond(name, value) {
                    Some(what) => Err(what),
                    None => words.end(),
                }
            }
            Some("at") => {
                self.faults.push(words.fault()?);
                words.end()
            }
            Some(other) => Err(format!("'{other}' is neither 'set', 'at' nor a fact")),
        }
    }

    fn fact(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number = || {
            value
                .parse()
                .map_err(|_| format!("'{value}' is not a number"))
        };
        match key {
            "title" => self.title = value.to_owned(),
            "expect" if !probe::is_known(value) => {
                let known: Vec<&str> = probe::known().collect();
                return Err(unknown("probe", value, &known));
            }
            "expect" => self.expect.push(value.to_owned()),
            "seed" => self.seed = number()?,
            "nodes" => match number()? {
                nodes @ 1..=NODES_MAX => self.nodes = nodes,
                nodes => return Err(format!("nodes is {nodes}; it may be 1 to {NODES_MAX}")),
            },
            _ => return Err(format!("'{key}' is not title, expect, seed or nodes")),
        }
        Ok(())
    }
}

fn without_remark(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// The words of a line.
pub(super) struct Words<'a>(SplitWhitespace<'a>);

impl<'a> Words<'a> {
    pub(super) fn word(&mut self, what: &str) -> Result<&'a str, String> {
        self.0.next().ok_or_else(|| format!("{what} is missing"))
    }

    pub(super) fn number(&mut self, what: &str) -> Result<u64, String> {
        let word = self.word(what)?;
        word.parse()
            .map_err(|_| format!("{what}: '{word}' is not a number"))
    }

    pub(super) fn this(&mut self, word: &str) -> Result<(), String> {
        match self.word(word)? {
            found if found == word => Ok(()),
            found => Err(format!("'{found}' where '{word}' was due")),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        match self.0.next() {
            None => Ok(()),
            Some(word) => Err(format!("'{word}' is too much")),
        }
    }

    fn fault(&mut self) -> Result<Fault, String> {
        let at_ms = self.number("the time")?;
        let what = self.what()?;
        let lasts = self.0.clone().next() == Some("for");
        let for_ms = if lasts {
            self.this("for")?;
            self.number("the duration")?
        } else {
            0
        };
        Ok(Fault {
            at_ms,
            for_ms,
            what,
        })
    }

    fn what(&mut self) -> Result<What, String> {
        let name = self.word("what happens")?;
        if let Some(upstream) = Upstream::parse(name, &mut self.0) {
            return upstream.map(What::Upstream);
        }
        if let Some(hardware) = Hardware::parse(name, self) {
            return hardware.map(What::Hardware);
        }
        Ok(match name {
            "crash" => What::Crash {
                target: self.target()?,
                moment: self.moment()?,
                index: self.index()?,
            },
            "crash-all" => What::CrashAll {
                index: self.index()?,
            },
            "pause" => What::Pause {
                target: self.target()?,
            },
            "isolate" => What::Isolate {
                target: self.target()?,
                sides: self.sides()?,
            },
            "cut" => What::Cut {
                from: self.target()?,
                to: {
                    self.this("to")?;
                    self.target()?
                },
            },
            "slow-disk" => What::SlowDisk {
                target: self.target()?,
                by_ms: self.by()?,
            },
            "full-disk" => What::FullDisk {
                target: self.target()?,
            },
            "source-crash" => What::SourceCrash,
            "source-cut" => What::SourceCut {
                moment: self.moment()?,
            },
            "rotate" => What::Rotate,
            "transaction" => What::Transaction {
                bytes: self.number("the size")?,
            },
            "set-source" => What::SetSource,
            "members" => What::Members {
                changes: self.changes()?,
            },
            "hand-over" => What::HandOver,
            "purge" => What::Purge {
                keep: {
                    self.this("keep")?;
                    self.number("the files that stay")?
                },
            },
            "replica-cut" => What::ReplicaCut {
                replica: self.number("the replica")?,
                moment: self.moment()?,
            },
            "replica-lost" => What::ReplicaLost {
                replica: self.number("the replica")?,
            },
            "replica-fresh" => What::ReplicaFresh {
                replica: self.number("the replica")?,
            },
            "replica-hole" => What::ReplicaHole {
                replica: self.number("the replica")?,
            },
            "replica-slow" => What::ReplicaSlow {
                replica: self.number("the replica")?,
                by_ms: self.by()?,
            },
            other => return Err(format!("'{other}' is no fault")),
        })
    }

    fn changes(&mut self) -> Result<Vec<(Change, Target)>, String> {
        let mut changes = Vec::new();
        loop {
            let change = match self.word("what to do with a node")? {
                "add" => Change::Add,
                "promote" => Change::Promote,
                "demote" => Change::Demote,
                "remove" => Change::Remove,
                other => return Err(format!("'{other}' is not add, promote, demote or remove")),
            };
            changes.push((change, self.target()?));
            if self.0.clone().next() != Some("and") {
                return Ok(changes);
            }
            self.this("and")?;
        }
    }

    pub(super) fn target(&mut self) -> Result<Target, String> {
        match self.word("the node")? {
            "leader" => Ok(Target::Leader),
            "follower" => Ok(Target::Follower),
            "node" => Ok(Target::Node(self.number("the node's number")?)),
            other => Err(format!("'{other}' is not leader, follower or node N")),
        }
    }

    pub(super) fn moment(&mut self) -> Result<Moment, String> {
        match self.word("the moment")? {
            "now" => Ok(Moment::Now),
            "syncing" => Ok(Moment::Syncing),
            "inside" => Ok(Moment::Inside),
            "starting" => Ok(Moment::Starting),
            "effects" => Ok(Moment::Effects(self.number("the count of effects")?)),
            other => Err(format!(
                "'{other}' is not now, syncing, inside, starting or effects N"
            )),
        }
    }

    fn index(&mut self) -> Result<IndexLoss, String> {
        self.this("index")?;
        match self.word("what becomes of the index")? {
            "all-kept" => Ok(IndexLoss::AllKept),
            "kept" => Ok(IndexLoss::Kept),
            "suffix" => Ok(IndexLoss::Suffix),
            "lost" => Ok(IndexLoss::Lost),
            other => Err(format!("'{other}' is not all-kept, kept, suffix or lost")),
        }
    }

    fn sides(&mut self) -> Result<Sides, String> {
        match self.word("the direction")? {
            "both" => Ok(Sides::Both),
            "in" => Ok(Sides::In),
            "out" => Ok(Sides::Out),
            other => Err(format!("'{other}' is not both, in or out")),
        }
    }

    pub(super) fn by(&mut self) -> Result<u64, String> {
        self.this("by")?;
        self.number("the milliseconds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_schedules_read_back() {
        for seed in 0..300 {
            let schedule = Schedule::generate(seed, None);
            assert_eq!(Schedule::parse(&schedule.to_string()), Ok(schedule));
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        let error = Schedule::parse("seed: 1\nat 5 crash everything").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.what.contains("everything"), "{error}");
        let error = Schedule::parse("set speed 3").unwrap_err();
        assert!(error.what.contains("speed"), "{error}");
    }

    #[test]
    fn remarks_and_empty_lines_are_passed_over() {
        let schedule = Schedule::parse("# a remark\n\ntitle: x # y\nseed: 4\n").unwrap();
        assert_eq!((schedule.title.as_str(), schedule.seed), ("x", 4));
    }
}
