//! `cargo xtask`: the developer's tasks that need more than Rust. Each one sets up what it needs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod demo;
mod dist;
mod lint;
mod services;
mod shared;
mod soak;
mod test;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Shows, tests and measures swiftwal on real servers")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Archive, back up, restore to a point in time, compare the rows and prune, step by step
    Demo(demo::Options),
    /// Run the tests, including those that need a server
    Test(test::Options),
    /// Check spelling, and the size of every tracked file
    Lint,
    /// Run PostgreSQL, Swift and Keystone, and Ceph on request, in the background, for experiments
    #[command(subcommand)]
    Services(services::Action),
    /// Measure wall time, CPU and memory, beside the limits and the usual tools
    Bench(bench::Options),
    /// Make what is shipped: the program, man pages, completions, and a Debian package of them
    Dist(dist::Options),
    /// Let programs, servers and the storage fail at random while PostgreSQL writes, and compare what was archived
    Soak(soak::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Demo(options) => demo::demo(&options),
        Task::Test(options) => test::test(&options),
        Task::Lint => lint::lint(),
        Task::Services(action) => services::services(&action),
        Task::Bench(options) => bench::bench(&options),
        Task::Dist(options) => dist::dist(&options),
        Task::Soak(options) => soak::soak(&options),
    };
    done.unwrap_or_else(|error| {
        // Without its Debug form, which may contain a backtrace.
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
