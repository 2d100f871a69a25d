//! What is said between login and dump: who the source is, and who we are.

use super::Settings;
use super::reply::{Answer, AnswerReader, Malformed, ServerError, Value};
use crate::gtid::GtidSet;
use crate::node::catalog::SourceFacts;

const COM_QUERY: u8 = 0x03;
const COM_REGISTER_SLAVE: u8 = 0x15;

const UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;

/// The owned GTIDs come first: what moves from there to the executed ones in between is in both.
const FACTS: &str = "SELECT VERSION(), @@GLOBAL.SERVER_ID, @@GLOBAL.SERVER_UUID, @@GLOBAL.GTID_MODE, \
                     @@GLOBAL.BINLOG_CHECKSUM, @@GLOBAL.GTID_OWNED, @@GLOBAL.GTID_EXECUTED, \
                     @@GLOBAL.GTID_PURGED";

/// Longest version; real ones have up to 50 bytes.
const VERSION_BYTES_MAX: usize = 255;

/// The exchanges, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Facts,
    Heartbeat,
    Checksum,
    Uuid,
    Register,
    /// Whether the source can be semi-synchronous, by the variable's name since 8.0.26 ...
    SemiSyncSource,
    /// ... and before.
    SemiSyncMaster,
    SemiSync(&'static str),
}

/// The set-up of one connection.
#[derive(Debug)]
pub(super) struct Setup {
    step: Step,
    reader: AnswerReader,
    facts: Option<SourceFacts>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    Send(Vec<u8>),
    Done(SourceFacts),
}

impl Setup {
    /// With the first command.
    pub(super) fn new(settings: &Settings) -> (Setup, Vec<u8>) {
        let setup = Setup {
            step: Step::Facts,
            reader: AnswerReader::default(),
            facts: None,
        };
        let command = setup.command(settings);
        (setup, command)
    }

    /// Takes a payload of the server.
    pub(super) fn payload(&mut self, settings: &Settings, bytes: &[u8]) -> Result<Next, String> {
        let Some(answer) = self.reader.feed(bytes) else {
            return Ok(Next::Wait);
        };
        let answer = answer
            .map_err(|Malformed| format!("the source's answer to {} is malformed", self.what()))?;
        match self.next(settings, answer)? {
            Some(step) => {
                self.step = step;
                Ok(Next::Send(self.command(settings)))
            }
            None => Ok(Next::Done(
                self.facts.take().expect("the first step brings them"),
            )),
        }
    }

    /// What the source is asked for just now.
    pub(super) fn what(&self) -> &'static str {
        match self.step {
            Step::Facts => "the question for its version and GTIDs",
            Step::Heartbeat => "the setting of the heartbeat period",
            Step::Checksum => "the setting of the checksum",
            Step::Uuid => "the setting of the replica's UUID",
            Step::Register => "the registration as a replica",
            Step::SemiSyncSource | Step::SemiSyncMaster => "the question for semi-sync",
            Step::SemiSync(_) => "the setting of semi-sync",
        }
    }

    fn command(&self, settings: &Settings) -> Vec<u8> {
        let text = match self.step {
            Step::Facts => FACTS.to_owned(),
            Step::Heartbeat => {
                let ns = settings.heartbeat_ms.saturating_mul(1_000_000);
                format!("SET @master_heartbeat_period = {ns}, @source_heartbeat_period = {ns}")
            }
            Step::Checksum => "SET @master_binlog_checksum = @@global.binlog_checksum, \
                               @source_binlog_checksum = @@global.binlog_checksum"
                .to_owned(),
            Step::Uuid => {
                let uuid = settings.uuid;
                format!("SET @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'")
            }
            Step::Register => return register(settings),
            Step::SemiSyncSource => "SELECT @@global.rpl_semi_sync_source_enabled".to_owned(),
            Step::SemiSyncMaster => "SELECT @@global.rpl_semi_sync_master_enabled".to_owned(),
            Step::SemiSync(variable) => format!("SET @{variable} = 1"),
        };
        [&[COM_QUERY], text.as_bytes()].concat()
    }

    /// The step after the present one; None at the end.
    fn next(&mut self, settings: &Settings, answer: Answer) -> Result<Option<Step>, String> {
        let error = match (self.step, answer) {
            (Step::Facts, Answer::Row(Some(row))) => {
                self.facts = Some(facts(settings, &row)?);
                return Ok(Some(Step::Heartbeat));
            }
            (Step::SemiSyncSource, Answer::Row(_)) => {
                return Ok(Some(Step::SemiSync("rpl_semi_sync_replica")));
            }
            (Step::SemiSyncMaster, Answer::Row(_)) => {
                return Ok(Some(Step::SemiSync("rpl_semi_sync_slave")));
            }
            (Step::Heartbeat, Answer::Done) => return Ok(Some(Step::Checksum)),
            (Step::Checksum, Answer::Done) => return Ok(Some(Step::Uuid)),
            (Step::Uuid, Answer::Done) => return Ok(Some(Step::Register)),
            (Step::Register, Answer::Done) => {
                return Ok(settings.semi_sync.then_some(Step::SemiSyncSource));
            }
            (Step::SemiSync(_), Answer::Done) => {
                self.facts
                    .as_mut()
                    .expect("the first step brings them")
                    .semi_sync = true;
                return Ok(None);
            }
            (_, Answer::Refused(error)) => error,
            (_, Answer::Done | Answer::Row(_)) => {
                return Err(format!(
                    "the source answers {} with something else",
                    self.what()
                ));
            }
        };
        match self.step {
            Step::SemiSyncSource if error.code == UNKNOWN_SYSTEM_VARIABLE => {
                Ok(Some(Step::SemiSyncMaster))
            }
            Step::SemiSyncMaster if error.code == UNKNOWN_SYSTEM_VARIABLE => Ok(None),
            step => Err(refused(step, self.what(), &error)),
        }
    }
}

fn register(settings: &Settings) -> Vec<u8> {
    let mut out = vec![COM_REGISTER_SLAVE];
    out.extend_from_slice(&settings.server_id.to_le_bytes());
    // Host, user and password are empty.
    out.extend_from_slice(&[0, 0, 0]);
    out.extend_from_slice(&settings.port.to_le_bytes());
    // Rank and the source's server id.
    out.extend_from_slice(&[0; 8]);
    out
}

fn facts(settings: &Settings, row: &[Value]) -> Result<SourceFacts, String> {
    let [
        version,
        server_id,
        uuid,
        gtid_mode,
        checksum,
        owned,
        executed,
        purged,
    ] = row
    else {
        return Err("the source's answer to the question for its version is malformed".to_owned());
    };
    let text = |name: &str, value: &Value| match value {
        Some(bytes) => String::from_utf8(bytes.clone()).map_err(|_| strange(name, bytes)),
        None => Err(strange(name, b"NULL")),
    };
    let set = |name: &str, value: &Value| {
        let text = text(name, value)?;
        text.parse::<GtidSet>()
            .map_err(|_| strange(name, text.as_bytes()))
    };
    let owned = text("gtid_owned", owned)?;
    let gtid_mode = text("gtid_mode", gtid_mode)?;
    if gtid_mode != "ON" {
        return Err(format!(
            "the source has gtid_mode={gtid_mode}, and only transactions with GTIDs can be \
             followed: set gtid_mode=ON there (with enforce_gtid_consistency=ON)"
        ));
    }
    let server_id = text("server_id", server_id)?;
    let uuid = text("server_uuid", uuid)?;
    let checksum = text("binlog_checksum", checksum)?;
    let version = text("version", version)?;
    if version.len() > VERSION_BYTES_MAX {
        return Err(strange("version", version.as_bytes()));
    }
    let facts = SourceFacts {
        version,
        server_id: server_id
            .parse()
            .map_err(|_| strange("server_id", server_id.as_bytes()))?,
        server_uuid: uuid
            .parse()
            .map_err(|_| strange("server_uuid", uuid.as_bytes()))?,
        owned: without_owners(&owned)
            .parse()
            .map_err(|_| strange("gtid_owned", owned.as_bytes()))?,
        executed: set("gtid_executed", executed)?,
        purged: set("gtid_purged", purged)?,
        binlog_checksum: match checksum.as_str() {
            "CRC32" | "NONE" => checksum,
            _ => return Err(strange("binlog_checksum", checksum.as_bytes())),
        },
        semi_sync: false,
    };
    if facts.server_id == settings.server_id {
        return Err(format!(
            "the source has our server_id, {}: set another one in [identity]",
            settings.server_id
        ));
    }
    if facts.server_uuid == settings.uuid {
        return Err(format!(
            "the source has our server_uuid, {}: set another one in [identity]",
            settings.uuid
        ));
    }
    Ok(facts)
}

/// `@@gtid_owned` as a GTID set: `UUID:GNO#THREAD:GNO#THREAD, ...` without the threads.
fn without_owners(owned: &str) -> String {
    let mut set = String::with_capacity(owned.len());
    let mut owner = false;
    for c in owned.chars() {
        owner = c == '#' || (owner && c.is_ascii_digit());
        if !owner {
            set.push(c);
        }
    }
    set
}

fn strange(name: &str, value: &[u8]) -> String {
    let value: String = String::from_utf8_lossy(value).chars().take(200).collect();
    format!("the source's {name} cannot be understood: '{value}'")
}

fn refused(step: Step, what: &str, error: &ServerError) -> String {
    match step {
        Step::Facts if error.code == UNKNOWN_SYSTEM_VARIABLE => format!(
            "the source is not MySQL 5.6 or later: it answers {what} with {error}; MariaDB cannot \
             be followed"
        ),
        Step::Register => format!(
            "the source refused {what}: {error}; GRANT REPLICATION SLAVE ON *.* to the account"
        ),
        _ => format!("the source refused {what}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::without_owners;

    #[test]
    fn owned_gtids_are_read_without_their_threads() {
        let owned = "ddfd611a-e510-11f1-a339-02fc00000001:20#17:21#103,\n\
                     ebdc4ef0-e510-11f1-a339-02fc00000001:tag:7#9";
        let set = "ddfd611a-e510-11f1-a339-02fc00000001:20:21,\n\
                   ebdc4ef0-e510-11f1-a339-02fc00000001:tag:7";
        assert_eq!(without_owners(owned), set);
        assert_eq!(without_owners(""), "");
    }
}
