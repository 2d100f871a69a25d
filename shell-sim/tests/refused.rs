//! Schedules that mean nothing are refused when they are read, with the line and what was meant.

use kingbus_sim::schedule::Schedule;

#[test]
fn unknown_names_are_refused_with_near_ones() {
    for (text, line, near) in [
        (
            "seed: 1\nexpect: torn_tail_cot",
            2,
            "near it: torn_tail_cut",
        ),
        ("set comit_us 3", 1, "near it: commit_us"),
    ] {
        let error = Schedule::parse(text).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.what.contains(near), "{error}");
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    for (text, line, name) in [
        ("nodes: 8", 1, "nodes"),
        ("nodes: 0", 1, "nodes"),
        ("seed: 3\nset loss_ppm 1000001", 2, "loss_ppm"),
        ("set commit_us 0", 1, "commit_us"),
        (
            "set history 5\nset begin_after 6 # too late\nset clients 1",
            2,
            "begin_after",
        ),
        ("set delay_us_min 9000", 1, "delay_us_min"),
    ] {
        let error = Schedule::parse(text).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.what.contains(name), "{error}");
    }
}
