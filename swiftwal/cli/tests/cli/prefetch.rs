//! restore-wal with segments that are fetched ahead: what it hands over is what was archived, and no process outlives
//! the server.

mod memory;
mod recovery;

use std::{
    fs::{self, DirBuilder, File},
    io::{BufRead, BufReader, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use swiftwal_conformance::SyntheticCluster;
use xtask::until;

use self::recovery::Recovery;
use crate::site::run;

#[test]
fn the_next_segments_are_in_the_spool_before_they_are_asked_for() {
    let recovery = Recovery::new();
    assert_eq!(recovery.replay(1), "");
    for number in 2..=9 {
        recovery.wait_for(number);
        recovery.spoil_archive(number);
        assert_eq!(recovery.replay(number), "");
    }
    assert_eq!(recovery.prefetchers().len(), 1);
    let ran = recovery.ask(10);
    assert_eq!(ran.code, 1, "{ran:?}");
    recovery.archive(10, &recovery.cluster.segment(10));
    assert_eq!(recovery.replay(10), "", "a miss is not remembered");
}

#[test]
fn it_is_taken_to_another_file_system_as_a_copy() {
    let memory = tempfile::tempdir_in("/dev/shm").expect("Linux has a file system in memory there");
    let recovery = Recovery::of(SyntheticCluster::new(1), Some(memory.path()));
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    if device(memory.path()) == device(&recovery.data()) {
        eprintln!("skipped: /dev/shm isn't another file system");
        return;
    }
    recovery.replay(1);
    let spooled = recovery.wait_for(2);
    recovery.spoil_archive(2);
    assert_eq!(recovery.replay(2), "");
    until("the copied segment is removed from the spool", || Ok(!spooled.exists())).unwrap();
    assert_eq!(fs::read_dir(recovery.data().join("pg_wal")).unwrap().count(), 0);
}

#[test]
fn a_file_in_the_spool_that_is_not_the_one_that_was_fetched_is_not_handed_over() {
    type Damage = fn(&Recovery, &Path);
    let damages: [(&str, Damage); 5] = [
        ("a byte was changed in place", |_, path| {
            let file = File::options().write(true).open(path).unwrap();
            let before = file.metadata().unwrap().modified().unwrap();
            // The system's clock for files is a coarse one.
            until("the file has another time", || {
                file.write_all_at(b"x", 9000)?;
                Ok(file.metadata()?.modified()? != before)
            })
            .unwrap();
        }),
        ("torn", |_, path| File::options().write(true).open(path).unwrap().set_len(1 << 19).unwrap()),
        ("longer", |_, path| File::options().append(true).open(path).unwrap().write_all(b"x").unwrap()),
        ("a copy of another cluster's segment of this name", |recovery, path| {
            fs::remove_file(path).unwrap();
            let number = (1..).find(|number| path.ends_with(recovery.name(*number))).unwrap();
            fs::write(path, SyntheticCluster::new(2).segment(number)).unwrap();
        }),
        ("gone", |_, path| fs::remove_file(path).unwrap()),
    ];
    let recovery = Recovery::new();
    recovery.replay(1);
    for (number, (what, damage)) in (2..).zip(damages) {
        damage(&recovery, &recovery.wait_for(number));
        let said = recovery.replay(number);
        assert!(said.contains("; fetching it again"), "{what}: {said}");
    }
}

#[test]
fn a_segment_in_which_recovery_leaves_its_timeline_is_not_handed_over() {
    let mut recovery = Recovery::new();
    recovery.replay(1);
    recovery.wait_for(2);
    let branch = recovery.cluster.segment_name(2).last_byte(recovery.cluster.segment_size()).unwrap();
    let history = recovery.site.write("data/pg_wal/00000002.history", format!("1\t{branch}\tno reason\n"));
    let message = format!("isn't replayed: timeline 2 branched off at {branch}");
    let ran = recovery.ask(2);
    assert!(ran.code == 128 && ran.stderr.contains(&message), "{ran:?}");
    recovery.options = vec!["--end-at-hole"];
    let ran = recovery.ask(2);
    assert!(
        ran.code == 1 && ran.stderr.contains("because of --end-at-hole: this segment is given up"),
        "{ran:?}"
    );
    let standby = recovery.site.write("data/standby.signal", "");
    let ran = recovery.ask(2);
    assert!(ran.code == 1 && !ran.stderr.contains("because of"), "{ran:?}");
    fs::remove_file(standby).unwrap();
    fs::remove_file(history).unwrap();
    recovery.spoil_archive(2);
    assert_eq!(recovery.replay(2), "");
}

#[test]
fn what_a_killed_prefetcher_has_left_is_not_used_and_the_next_one_removes_it() {
    let recovery = Recovery::new();
    recovery.replay(1);
    let left = recovery.wait_for(3);
    recovery.signal(Signal::KILL);
    recovery.wait_for_end();
    assert!(left.exists());
    // As after the timeline was given up and another server has taken it.
    let mut other = recovery.cluster.segment(3);
    other[20_000] ^= 1;
    recovery.archive(3, &other);
    recovery.replay(2);
    recovery.wait_for(4);
    recovery.replay_as(3, &other);
}

#[test]
fn a_prefetcher_that_hangs_does_not_stop_recovery_and_another_one_takes_its_place() {
    let recovery = Recovery::new();
    recovery.replay(1);
    recovery.wait_for(2);
    let hung = recovery.prefetcher();
    kill_process(hung, Signal::STOP).unwrap();
    recovery.replay(2);
    until("the process that hung has ended", || Ok(!recovery.prefetchers().contains(&hung))).unwrap();
    // Its lock may have been free too late for the call before.
    recovery.replay(3);
    recovery.wait_for(4);
    recovery.spoil_archive(4);
    assert_eq!(recovery.replay(4), "");
}

#[test]
fn a_prefetcher_that_dies_while_it_is_asked_does_not_stop_recovery() {
    let recovery = Recovery::new();
    recovery.replay(1);
    recovery.wait_for(3);
    let prefetcher = recovery.prefetcher();
    kill_process(prefetcher, Signal::STOP).unwrap();
    let mut asking = recovery.command(&recovery.name(3), "pg_wal/RECOVERYXLOG");
    let mut asking = asking.arg("-v").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(asking.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("asking for ")));
    kill_process(prefetcher, Signal::KILL).unwrap();
    drop(thread::spawn(move || lines.last()));
    assert!(asking.wait_with_output().unwrap().status.success());
    assert!(fs::read(recovery.data().join("pg_wal/RECOVERYXLOG")).unwrap() == recovery.cluster.segment(3));
    recovery.wait_for_end();
    recovery.replay(4);
    recovery.wait_for(5);
}

#[test]
fn it_has_none_of_the_servers_streams_and_leaves_its_process_group() {
    let recovery = Recovery::new();
    // PostgreSQL before version 16 has files that are inherited, here 7. This returns when no process has the pipes.
    let mut command = Command::new("sh");
    let wrapped = recovery.command(&recovery.name(1), "pg_wal/RECOVERYXLOG");
    command.args(["-c", "exec \"$0\" \"$@\" 7>&1"]).arg(wrapped.get_program()).args(wrapped.get_args());
    command.current_dir(recovery.data()).env_clear();
    command.envs(wrapped.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = run(&mut command);
    assert_eq!(ran.code, 0, "{ran:?}");
    let pid = recovery.prefetcher();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let group: i32 = stat.rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap().parse().unwrap();
    assert_eq!(group, pid.as_raw_nonzero().get(), "{stat}");
    // Only root may see it.
    until("its working directory is the root", || {
        let directory = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
        Ok(directory.is_ok_and(|path| path == Path::new("/")) || !geteuid().is_root())
    })
    .unwrap();
}

#[test]
fn it_ends_with_the_server_and_leaves_nothing() {
    type End = fn(&Path);
    let ends: [(&str, End); 4] = [
        ("the server was stopped", |data| fs::remove_file(data.join("postmaster.pid")).unwrap()),
        ("the data directory is gone", |data| fs::remove_dir_all(data).unwrap()),
        ("the server was killed", |data| fs::write(data.join("postmaster.pid"), ended_process()).unwrap()),
        ("another server runs there", |data| {
            // Its file is created while the old one is open, so that it gets another inode.
            let pid = data.join("postmaster.pid");
            let old = File::open(&pid).unwrap();
            fs::remove_file(&pid).unwrap();
            fs::write(&pid, std::process::id().to_string()).unwrap();
            drop(old);
        }),
    ];
    for (what, end) in ends {
        let recovery = Recovery::new();
        recovery.replay(1);
        recovery.wait_for(3);
        end(&recovery.data());
        recovery.wait_for_end();
        assert_eq!(fs::read_dir(&recovery.spool).unwrap().count(), 0, "{what}");
    }
}

/// Returns the content of `postmaster.pid` of a server that has ended.
fn ended_process() -> String {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id().to_string()
}

/// PostgreSQL's first process, if it is that of a container, adopts it and takes other codes for a crash of its own.
#[test]
fn it_ends_with_1_on_a_signal_and_with_0_if_another_one_is_alive() {
    let recovery = Recovery::new();
    let spool = recovery.spool.to_str().unwrap();
    let arguments = ["prefetch-wal", "--spool", spool, "--jobs", "2", "--segments", "2", &recovery.name(1)];
    let start = || recovery.site.command(&arguments).current_dir(recovery.data()).spawn().unwrap();
    let mut first = start();
    recovery.wait_for(3);
    assert!(start().wait().unwrap().success());
    kill_process(Pid::from_child(&first), Signal::TERM).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(1));
    assert_eq!(fs::read_dir(&recovery.spool).unwrap().count(), 0);
}

#[test]
fn nothing_is_fetched_ahead_where_no_server_recovers() {
    type Change = fn(&Recovery) -> Vec<String>;
    let recovered = || vec!["pg_wal/RECOVERYXLOG".to_owned()];
    let cases: [(&str, Change); 9] = [
        ("pg_rewind asks", |recovery| vec![format!("pg_wal/{}", recovery.name(1))]),
        ("a history is asked for", |_| vec!["pg_wal/RECOVERYHISTORY".to_owned()]),
        ("an absolute path", |recovery| {
            vec![recovery.data().join("pg_wal/RECOVERYXLOG").to_str().unwrap().to_owned()]
        }),
        ("no data directory", |recovery| {
            fs::remove_file(recovery.data().join("PG_VERSION")).unwrap();
            vec![]
        }),
        ("no server", |recovery| {
            fs::remove_file(recovery.data().join("postmaster.pid")).unwrap();
            vec![]
        }),
        ("the server was killed", |recovery| {
            fs::write(recovery.data().join("postmaster.pid"), ended_process()).unwrap();
            vec![]
        }),
        ("the server is the first process of a container", |recovery| {
            fs::write(recovery.data().join("postmaster.pid"), "1\n").unwrap();
            vec![]
        }),
        ("switched off", |_| vec!["pg_wal/RECOVERYXLOG".to_owned(), "--prefetch=0".to_owned()]),
        ("the hash is wanted", |_| vec!["pg_wal/RECOVERYXLOG".to_owned(), "--json".to_owned()]),
    ];
    for (what, change) in cases {
        let recovery = Recovery::new();
        let arguments = Some(change(&recovery)).filter(|words| !words.is_empty()).unwrap_or_else(recovered);
        let mut command = recovery.command(&recovery.name(1), &arguments[0]);
        let ran = run(command.args(&arguments[1..]));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{what}");
        // It is created before the process is started.
        assert!(!recovery.spool.exists(), "{what}");
    }
}

#[test]
fn a_spool_that_can_not_be_used_is_named_once_and_recovery_goes_on() {
    for (spool, reason) in [
        ("file/spool", "Not a directory"),
        ("data/spool", "it is in the data directory, where pg_rewind would remove it; use another place"),
    ] {
        let mut recovery = Recovery::new();
        recovery.site.write("file", "");
        recovery.spool = recovery.site.path(spool);
        let said = recovery.replay(1);
        assert!(said.starts_with("swiftwal: warning: can't fetch WAL ahead into "), "{said}");
        assert!(said.contains(spool) && said.contains(reason), "{said}");
        assert_eq!(recovery.replay(2), "");
        assert!(!recovery.spool.exists());
    }
}

#[test]
fn a_spool_in_which_another_user_could_write_is_not_used_and_nothing_is_removed_through_a_link() {
    let recovery = Recovery::new();
    recovery.replay(1);
    recovery.wait_for(2);
    recovery.signal(Signal::KILL);
    recovery.wait_for_end();
    let spool = recovery.spooled("").components().as_path().to_owned();
    fs::remove_dir_all(&spool).unwrap();
    let elsewhere = recovery.site.path("elsewhere");
    DirBuilder::new().mode(0o700).create(&elsewhere).unwrap();
    let segment = elsewhere.join(recovery.name(7));
    fs::write(&segment, "").unwrap();
    symlink(&elsewhere, &spool).unwrap();
    recovery.replay(2);
    recovery.replay(3);
    assert!(segment.exists());
    assert!(!elsewhere.join("lock").exists());
    fs::remove_file(&spool).unwrap();

    fs::set_permissions(&recovery.spool, fs::Permissions::from_mode(0o1777)).unwrap();
    recovery.replay(4);
    assert!(!spool.exists());
}

#[test]
fn a_file_that_no_prefetcher_has_created_stays_in_the_spool() {
    let recovery = Recovery::new();
    recovery.replay(1);
    recovery.wait_for(3);
    let kept = recovery.spooled("notes.txt");
    fs::write(&kept, "").unwrap();
    fs::remove_file(recovery.data().join("postmaster.pid")).unwrap();
    recovery.wait_for_end();
    assert!(kept.exists());
    assert!(!recovery.spooled(&recovery.name(3)).exists());
}

#[test]
fn the_spool_of_a_data_directory_that_is_gone_is_removed_with_what_a_killed_prefetcher_has_left() {
    let recovery = Recovery::new();
    let gone = Recovery::of(SyntheticCluster::new(2), Some(&recovery.spool));
    gone.replay(1);
    let left = gone.wait_for(3);
    gone.signal(Signal::KILL);
    gone.wait_for_end();
    recovery.replay(1);
    recovery.wait_until_in_any_spool(2);
    assert!(left.exists(), "its data directory exists");
    recovery.signal(Signal::KILL);
    recovery.wait_for_end();
    fs::remove_dir_all(gone.data()).unwrap();
    recovery.replay(2);
    until("the other spool is removed", || Ok(!left.parent().unwrap().exists())).unwrap();
}

#[test]
fn of_two_prefetchers_that_are_started_at_the_same_moment_one_stays() {
    let recovery = Recovery::new();
    let spool = recovery.spool.to_str().unwrap();
    let arguments = ["prefetch-wal", "--spool", spool, "--jobs", "2", "--segments", "2", &recovery.name(1)];
    for _ in 0..5 {
        let start = || recovery.site.command(&arguments).current_dir(recovery.data()).spawn().unwrap();
        let mut both = [start(), start()];
        recovery.wait_for(3);
        until("one has ended", || Ok(both.iter_mut().any(|one| one.try_wait().unwrap().is_some()))).unwrap();
        let ended: Vec<_> = both.iter_mut().map(|one| one.try_wait().unwrap().is_some()).collect();
        assert_eq!(ended.iter().filter(|ended| **ended).count(), 1);
        for (one, ended) in both.iter_mut().zip(ended) {
            if !ended {
                kill_process(Pid::from_child(one), Signal::TERM).unwrap();
            }
            assert_eq!(one.wait().unwrap().code(), Some(if ended { 0 } else { 1 }));
        }
    }
}

#[test]
fn more_messages_than_are_read_do_not_silence_the_next_ones() {
    let recovery = Recovery::new();
    recovery.replay(1);
    recovery.wait_for(2);
    let log = recovery.spooled("log");
    fs::write(&log, "swiftwal: warning: a message\n".repeat(10_000)).unwrap();
    assert!(recovery.replay(2).contains("swiftwal: warning: a message\n"));
    fs::write(&log, "swiftwal: warning: another one\n").unwrap();
    assert_eq!(recovery.replay(3), "swiftwal: warning: another one\n");
    fs::write(&log, "swiftwal: warning: another one\n").unwrap();
    assert_eq!(recovery.replay(4), "", "it was shown today");
}

#[test]
fn what_the_prefetcher_can_not_do_is_said_by_the_next_call_once() {
    let mut recovery = Recovery::new();
    // A thousand GiB, of which as much again would have to be free.
    recovery.options = vec!["--prefetch", "1000000"];
    recovery.replay(1);
    let log = || fs::metadata(recovery.spooled("log")).map_or(0, |log| log.len());
    until("it has failed", || Ok(log() > 0)).unwrap();
    let said = recovery.replay(2);
    assert!(said.starts_with("swiftwal: warning: can't fetch WAL ahead, so recovery is slower: "), "{said}");
    assert!(
        said.contains(
            "less than 2000000 MiB are free there, twice what --prefetch fetches ahead; free some space"
        ),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    for number in 3..=5 {
        assert_eq!(recovery.replay(number), "");
    }
    assert_eq!(recovery.prefetchers().len(), 1);
}

#[test]
fn two_servers_with_segments_of_the_same_names_share_a_directory_for_their_spools() {
    let recovery = Recovery::new();
    let other = Recovery::of(SyntheticCluster::new(2), Some(&recovery.spool));
    for recovery in [&recovery, &other] {
        recovery.replay(1);
    }
    until("both are in the spools", || {
        let spools = fs::read_dir(&recovery.spool)?.flatten();
        Ok(spools.filter(|spool| spool.path().join(recovery.name(2)).exists()).count() == 2)
    })
    .unwrap();
    for recovery in [&recovery, &other] {
        recovery.spoil_archive(2);
        assert_eq!(recovery.replay(2), "");
    }
}
