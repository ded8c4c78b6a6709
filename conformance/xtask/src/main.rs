//! `cargo xtask`: the developer's tasks that need more than Rust. Each one sets up what it needs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod demo;
mod lint;
mod services;
mod shared;
mod test;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Shows, tests and measures swiftwal on real servers")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The main job, step by step: archive, back up, restore to a point in time, compare the rows, prune
    Demo(demo::Options),
    /// The tests, those that need a server included
    Test(test::Options),
    /// Spelling, and the size of every tracked file
    Lint,
    /// PostgreSQL, Swift and Keystone in the background, to try things on
    #[command(subcommand)]
    Services(services::Action),
    /// Wall time, CPU and memory, each beside its limit and the tool that people use
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Demo(options) => demo::demo(&options),
        Task::Test(options) => test::test(&options),
        Task::Lint => lint::lint(),
        Task::Services(action) => services::services(&action),
        Task::Bench(options) => bench::bench(&options),
    };
    done.unwrap_or_else(|error| {
        // Without its Debug form, which may contain a backtrace.
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
