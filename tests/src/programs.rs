//! Where the programs are.

use std::env;
use std::path::{Path, PathBuf};

use crate::scratch::cache;

/// The `mysqld` in use: `$KINGBUS_MYSQLD`, or the one that `ci/servers` put into the cache.
pub fn mysqld() -> PathBuf {
    let path = match env::var_os("KINGBUS_MYSQLD") {
        Some(path) => PathBuf::from(path),
        None => cache().join("servers/mysql-9.7/bin/mysqld"),
    };
    assert!(
        path.exists(),
        "no mysqld at {}: run `ci/servers mysql-9.7 {}`, or set KINGBUS_MYSQLD to one of version 9.7",
        path.display(),
        cache().join("servers").display(),
    );
    path
}

/// A program that belongs to [`mysqld`]: beside it, in the `bin` next to its `sbin`, or on `PATH`.
pub fn mysql_tool(name: &str) -> PathBuf {
    let mysqld = mysqld();
    let folder = mysqld.parent().unwrap_or(Path::new("/"));
    let near = [folder.join(name), folder.join("../bin").join(name)];
    let path = env::var_os("PATH").unwrap_or_default();
    let anywhere = env::split_paths(&path).map(|folder| folder.join(name));
    near.into_iter()
        .chain(anywhere)
        .find(|program| program.exists())
        .unwrap_or_else(|| panic!("no {name} beside {} and none on PATH", mysqld.display()))
}

/// The `kingbus` program: `$KINGBUS_BIN`, or the one that cargo built beside this program.
pub fn kingbus() -> PathBuf {
    env::var_os("KINGBUS_BIN").map_or_else(|| built("kingbus"), PathBuf::from)
}

/// The `kingbus-sim` program that cargo built beside this program.
pub fn simulator() -> PathBuf {
    built("kingbus-sim")
}

fn built(name: &str) -> PathBuf {
    let this = env::current_exe().expect("the path of this program");
    // Tests lie in `deps`, programs beside kingbus.
    this.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| {
            panic!(
                "no {name} near {}: run `cargo build --release --workspace`",
                this.display()
            )
        })
}
