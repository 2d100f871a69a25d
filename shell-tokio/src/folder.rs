//! The data folder: who owns it, and what is kept in it besides log and index.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kingbus_core::gtid::Uuid;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::os::{self, DirBuilder, File, OpenOptions};
use crate::secret::Secret;

/// Time for another process to let go of the folder, and pause between looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The data folder, ours alone while this value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

/// `node.toml`: whose folder it is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    node: u64,
    server_uuid: Uuid,
}

/// Makes a folder and those it lies in, as far as they are missing, durably.
fn make(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| os::read_dir(folder).is_err();
    let named = path.ancestors().filter(|folder| *folder != Path::new(""));
    let missing: Vec<&Path> = named.take_while(is_missing).collect();
    DirBuilder::new().recursive(true).mode(0o750).create(path)?;
    for folder in missing {
        match folder.parent() {
            Some(parent) if parent != Path::new("") => os::sync_folder(parent)?,
            Some(_) => os::sync_folder(Path::new("."))?,
            None => {}
        }
    }
    Ok(())
}

impl Folder {
    /// Makes the folder if it is missing, and locks it.
    pub fn open(path: &Path) -> Result<Folder, String> {
        let failed = |what: &str, error: &io::Error| {
            format!(
                "data = {}: {what}: {error}. Name a folder that this user may write to",
                path.display()
            )
        };
        make(path).map_err(|error| failed("cannot be made", &error))?;
        let lock =
            private(&path.join("lock"), false).map_err(|error| failed("cannot be used", &error))?;
        let began = Instant::now();
        loop {
            match os::lock(&lock) {
                Ok(()) => break,
                // The kernel may still be at work on a process that was killed.
                Err(error) if is_taken(&error) && began.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(error) if is_taken(&error) => {
                    return Err(format!(
                        "data = {}: in use by another kingbus. Stop it, or give this node a folder of \
                         its own",
                        path.display()
                    ));
                }
                Err(error) => return Err(failed("cannot be locked", &error)),
            }
        }
        Ok(Folder {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The server UUID in force: the configured one, or the one made at the first start. A folder of
    /// another node or cluster is refused.
    pub fn server_uuid(&self, config: &Config) -> Result<Uuid, String> {
        let file = self.path.join("node.toml");
        let (node, configured) = (config.node(), config.identity.server_uuid);
        if let Some(text) = self.read(&file)? {
            let owner: Owner = toml::from_str(&text)
                .map_err(|error| format!("{}: {}", file.display(), error.message()))?;
            let wanted = Owner {
                node,
                server_uuid: configured.unwrap_or(owner.server_uuid),
            };
            if owner != wanted {
                return Err(format!(
                    "data = {}: belongs to node {} with server_uuid {}, the configuration says node {} \
                     with server_uuid {}. Give each node its own folder, and keep identity.server_uuid",
                    self.path.display(),
                    owner.node,
                    owner.server_uuid,
                    wanted.node,
                    wanted.server_uuid
                ));
            }
            return Ok(owner.server_uuid);
        }
        let server_uuid = configured.unwrap_or_else(random_uuid);
        let text = toml::to_string(&Owner { node, server_uuid }).expect("an owner can be written");
        self.keep(&file, &text)?;
        Ok(server_uuid)
    }

    /// The secret of this node alone, made at the first start.
    pub fn own_secret(&self) -> Result<Secret, String> {
        let file = self.path.join("secret");
        if let Some(text) = self.read(&file)? {
            return Ok(Secret::new(text.trim_end()));
        }
        let bytes: [u8; 32] = os::random();
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.keep(&file, &text)?;
        Ok(Secret::new(text))
    }

    fn read(&self, file: &Path) -> Result<Option<String>, String> {
        match os::read_to_string(file) {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: cannot be read: {error}", file.display())),
        }
    }

    /// Writes a small file durably, whole or not at all.
    fn keep(&self, file: &Path, text: &str) -> Result<(), String> {
        let new = file.with_extension("new");
        let keep = || {
            let mut out = private(&new, true)?;
            out.write_all(text.as_bytes())?;
            out.sync_all()?;
            os::rename(&new, file)?;
            os::sync_folder(&self.path)
        };
        keep().map_err(|error: io::Error| format!("{}: cannot be written: {error}", file.display()))
    }
}

/// Whether another process has the lock.
fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// A file only this user may read.
fn private(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(truncate)
        .mode(0o600)
        .open(path)
}

/// A random UUID (version 4).
fn random_uuid() -> Uuid {
    let mut bytes: [u8; 16] = os::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            "data = \"/d\"\n[replicas]\nlisten = \"a:1\"\nuser = \"u\"\npassword = \"p\"\n{more}"
        );
        Config::parse(Path::new("k.toml"), &text, &|_| None).expect("accepted")
    }

    #[test]
    fn folder_is_used_by_one_process_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a/b");
        let first = Folder::open(&path).expect("opened");
        assert!(
            Folder::open(&path)
                .expect_err("locked")
                .contains("another kingbus")
        );
        drop(first);
        Folder::open(&path).expect("free again");
    }

    #[test]
    fn uuid_and_secret_are_made_once_and_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(dir.path()).expect("opened");
        let uuid = folder.server_uuid(&config("")).expect("made");
        assert_eq!(folder.server_uuid(&config("")), Ok(uuid));
        let secret = folder.own_secret().expect("made");
        assert_eq!(folder.own_secret(), Ok(secret));
        let mode = std::fs::metadata(dir.path().join("secret"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn folder_of_another_cluster_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(dir.path()).expect("opened");
        folder.server_uuid(&config("")).expect("made");
        let other = "[identity]\nserver_uuid = \"3e11fa47-71ca-11e1-9e33-c80aa9429562\"";
        let error = folder.server_uuid(&config(other)).expect_err("refused");
        assert!(error.contains("3e11fa47") && error.contains("identity.server_uuid"));
    }
}
