//! Temporary folders and the cache folder.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder that is removed in the end, unless the environment has `KEEP`.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a new folder; `name` is part of its path, which stays short because sockets lie in it.
    pub fn new(name: &str) -> Scratch {
        Scratch::below(&env::temp_dir(), name)
    }

    /// Makes a new folder in another one.
    pub fn below(folder: &Path, name: &str) -> Scratch {
        let path = folder.join(format!("kingbus-{name}-{}", std::process::id()));
        // Left by a killed process that had the same number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        Scratch { path }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it, made if it is missing.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if env::var_os("KEEP").is_some() {
            eprintln!("kept: {}", self.path.display());
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Where servers and prepared data are kept between runs: `$XDG_CACHE_HOME/kingbus` or
/// `~/.cache/kingbus`.
pub fn cache() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value: &OsString| !value.is_empty());
    match (set("XDG_CACHE_HOME"), set("HOME")) {
        (Some(cache), _) => PathBuf::from(cache).join("kingbus"),
        (None, Some(home)) => PathBuf::from(home).join(".cache/kingbus"),
        (None, None) => env::temp_dir().join("kingbus-cache"),
    }
}

/// Copies a folder with all that is in it. Sockets and the like are left out.
pub fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
