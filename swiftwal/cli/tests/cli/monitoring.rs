//! `--nagios` and `--prometheus`.

use std::{fs, io::pipe, os::unix::fs::PermissionsExt};

use crate::site::{Ran, Site, run};

/// Returns the exit code and the only line.
fn answer(ran: &Ran) -> (i32, &str) {
    assert_eq!((ran.stdout.matches('\n').count(), ran.stdout.ends_with('\n')), (1, true), "{ran:?}");
    (ran.code, ran.stdout.trim_end())
}

#[test]
fn a_plugin_answers_in_one_line_and_its_exit_code_is_the_state() {
    let site = Site::new();
    site.store_backup();
    let ask = |arguments: &[&str]| site.run(&[&["info", "--nagios"], arguments].concat());
    // The synthetic server's clock says 2013.
    let ran = ask(&["--warning", "backup-age=9000d,holes=0", "--critical", "backup-age=9999d"]);
    let (code, line) = answer(&ran);
    assert_eq!((code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(line.starts_with("SWIFTWAL OK - newest backup ") && line.contains(" | backup-age="), "{line}");
    assert!(line.contains("s;777600000;863913600;0 wal-age=U;;;0 holes=0;0;;0 drill-age=U;;;0"), "{line}");
    for (threshold, code, state) in [("--warning", 1, "WARNING"), ("--critical", 2, "CRITICAL")] {
        let ran = ask(&[threshold, "drill-age=8d"]);
        let (found, line) = answer(&ran);
        assert_eq!(found, code, "{ran:?}");
        assert!(line.starts_with(&format!("SWIFTWAL {state} - no drill has passed, ")), "{line}");
    }
    let ran = ask(&["--warning", "ready=20"]);
    assert!(answer(&ran).0 == 3 && ran.stdout.contains("UNKNOWN - the threshold ready needs"), "{ran:?}");
    for object in site.stored() {
        if object.0.extension().is_some_and(|extension| extension == "json") {
            fs::write(object.0, "{").unwrap();
        }
    }
    let ran = ask(&[]);
    assert!(answer(&ran).0 == 2 && ran.stdout.contains(" is damaged: "), "{ran:?}");
}

#[test]
fn a_plugin_that_cannot_look_says_so_with_3() {
    let site = Site::new();
    let unknown = |ran: Ran, reason: &str| {
        let (code, line) = answer(&ran);
        assert_eq!(code, 3, "{ran:?}");
        assert!(line.starts_with("SWIFTWAL UNKNOWN - ") && line.contains(reason), "{ran:?}");
    };
    fs::create_dir(site.path("repository")).unwrap();
    unknown(site.run(&["info", "--nagios"]), "contains no repository");
    unknown(run(&mut site.bare_command(&["info", "--nagios"])), "no repository");
    for wrong in ["26h", "age=26h", "backup-age=old", "holes=2:1"] {
        let ran = site.run(&["info", "--nagios", "--warning", wrong]);
        assert!(ran.stderr.contains(wrong.split('=').next_back().unwrap()), "{ran:?}");
        unknown(ran, "the arguments are wrong");
    }
    // Nothing is ever written into this pipe.
    let (reader, _writer) = pipe().unwrap();
    let mut hanging = site.command(&["--deadline", "1", "-c", "/dev/fd/0", "info", "--nagios"]);
    let ran = run(hanging.stdin(reader));
    unknown(ran, "not done within the deadline of 1 s");
}

#[test]
fn each_command_keeps_the_metrics_of_the_others_and_a_failed_one_leaves_the_last_success() {
    let site = Site::new();
    site.store_backup();
    site.store_backup();
    let metrics = |arguments: &[&str], code: i32| {
        let ran = site.run(&[arguments, &["--prometheus", "swiftwal.prom"]].concat());
        assert_eq!(ran.code, code, "{ran:?}");
        fs::read_to_string(site.path("swiftwal.prom")).unwrap()
    };
    let line = |text: &str, name: &str| {
        text.lines().find(|line| line.starts_with(&format!("{name}{{"))).map(str::to_owned)
    };
    metrics(&["info"], 0);
    let first = metrics(&["prune", "--keep-backups", "1"], 0);
    let repository = format!("repository=\"{}\"}} 2", site.repository_url());
    assert!(line(&first, "swiftwal_backups").is_some_and(|line| line.ends_with(&repository)), "{first}");
    let success = line(&first, "swiftwal_prune_last_success_timestamp_seconds");
    assert!(success.is_some(), "{first}");
    assert_eq!(line(&first, "swiftwal_prune_last_failure_timestamp_seconds"), None);
    site.move_repository_away();
    let failed = metrics(&["prune", "--keep-backups", "1"], 1);
    assert_eq!(line(&failed, "swiftwal_prune_last_success_timestamp_seconds"), success);
    assert!(line(&failed, "swiftwal_prune_last_failure_timestamp_seconds").is_some(), "{failed}");
    let failed = metrics(&["backup", "-H", "/nowhere"], 1);
    assert!(line(&failed, "swiftwal_backup_last_failure_timestamp_seconds").is_some(), "{failed}");
    assert_eq!(line(&failed, "swiftwal_backups"), line(&first, "swiftwal_backups"));
    for text in [&first, &failed] {
        for kind in ["HELP", "TYPE"] {
            let of_kind = |line: &&str| line.starts_with(&format!("# {kind} "));
            let mut lines: Vec<_> = text.lines().filter(of_kind).collect();
            let count = lines.len();
            lines.sort_unstable();
            lines.dedup();
            assert_eq!(lines.len(), count, "{text}");
        }
    }
    let mode = fs::metadata(site.path("swiftwal.prom")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn metrics_that_cannot_be_written_fail_info_and_are_a_warning_of_prune() {
    let site = Site::new();
    site.store_backup();
    let info = site.run(&["info", "--prometheus", "missing/a.prom"]);
    assert!(info.code == 1 && info.stderr.contains("can't write metrics to missing/a.prom"), "{info:?}");
    let prune = site.run(&["prune", "--keep-backups", "1", "--prometheus", "missing/a.prom"]);
    assert!(prune.code == 0 && prune.stderr.contains("warning: can't update missing/a.prom: "), "{prune:?}");
    let other = site.run(&["info", "--prometheus", "a.txt"]);
    assert!(other.code == 2 && other.stderr.contains("must end with .prom"), "{other:?}");
    let dry = site.run(&["prune", "--keep-backups", "1", "-n", "--prometheus", "a.prom"]);
    assert_eq!(dry.code, 2, "{dry:?}");
}
