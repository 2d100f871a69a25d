//! How many files and sockets the process may have open.

/// Files and sockets that a node needs besides those of clients: segments, the index, other nodes, operators.
const OPEN_FILES_OWN: u64 = 400;

/// Whether so many clients leave files for the node itself: one that has none left cannot read its disk.
pub fn check(connections_max: usize, open_files_max: u64) -> Result<(), String> {
    let needed = connections_max as u64 + OPEN_FILES_OWN;
    if needed <= open_files_max {
        return Ok(());
    }
    Err(format!(
        "replicas.connections_max = {connections_max}: that needs {needed} open files, and this process may \
         have {open_files_max}. Raise its limit (LimitNOFILE= of the unit, ulimit -n), or have fewer \
         connections"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_files_for_the_node_itself() {
        assert_eq!(check(1000, 1400), Ok(()));
        let error = check(1000, 1024).expect_err("too few");
        for part in [
            "connections_max = 1000",
            "1400 open files",
            "have 1024",
            "LimitNOFILE",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
